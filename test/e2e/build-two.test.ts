// BuildKit over POST /build (version 2), as dockerode asks for it: its stream of JSON, with the
// status messages of BuildKit in it.

import assert from "node:assert/strict";
import { request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { serveCalls } from "../../src/cli/commands/build/session/grpc-server.ts";
import { handlersOf } from "../../src/cli/commands/build/session/serve.ts";
import type { Session } from "../../src/cli/session.ts";
import { control } from "../../src/gen/buildkit/index.ts";
import { tarOf } from "../support/build-job.ts";
import { upgrade } from "../support/buildkit-client.ts";
import { writeFiles } from "../support/write-files.ts";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

interface Message {
  id?: string;
  aux?: string | { ID: string };
  error?: string;
}

describe("version 2 of POST /build", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "docker" });
  });
  after(() => daemon.stop());

  async function build(files: Record<string, string>, options: object): Promise<Message[]> {
    const { dockerode } = daemon;
    const all = { version: "2" as const, networkmode: "none", ...options };
    const stream = await dockerode.buildImage(tarOf(files), all);
    return await new Promise((resolve) => {
      const messages: Message[] = [];
      const ended = () => resolve(messages);
      dockerode.modem.followProgress(stream, ended, (message: Message) => messages.push(message));
    });
  }

  const traces = (messages: Message[]) =>
    messages.flatMap(({ id, aux }) =>
      id === "moby.buildkit.trace" && typeof aux === "string"
        ? fromBinary(control.StatusResponseSchema, Buffer.from(aux, "base64"))
        : [],
    );

  test("the body is the context, the progress BuildKit's, the last message the image", async () => {
    const Dockerfile =
      'FROM payload\nARG WHO\nCOPY a /a\nRUN ["/bin/cat", "/a"]\nENV WHO=$WHO\nCMD ["/bin/cat", "/a"]\n';
    const options = { t: "two:1", buildargs: { WHO: "you" }, labels: { kind: "old" } };
    const messages = await build({ Dockerfile, a: "hello" }, options);
    const told = traces(messages);
    const names = told.flatMap(({ vertexes }) => vertexes.map(({ name }) => name));
    assert(names.includes("[2/3] COPY a /a"), names.join("\n"));
    const logs = told.flatMap(({ logs: own }) => own.map(({ msg }) => Buffer.from(msg).toString()));
    assert.deepEqual(logs, ["hello"]);
    const last = messages.at(-1);
    const inspected = await daemon.dockerode.getImage("two:1").inspect();
    assert.deepEqual(last, { id: "moby.image.id", aux: { ID: inspected.Id } });
    assert(inspected.Config.Env.includes("WHO=you"));
    assert.deepEqual(inspected.Config.Labels, { kind: "old" });
    assert.equal(await daemon.ok("run", "--rm", "--network", "none", "two:1"), "hello");
  });

  test("the context may come over a session", async () => {
    const folder = join(daemon.folder, "session-context");
    await writeFiles(folder, { Dockerfile: "FROM payload\nCOPY a /a\n", a: "sent" });
    const folders = new Map([
      ["context", folder],
      ["dockerfile", folder],
    ]);
    const offer = { folders, uploads: new Map(), secrets: new Map(), agents: new Map() };
    const handlers = handlersOf({} as Session, {
      ...{ ...offer, outputs: [], stores: new Map(), sharedKey: "" },
    });
    const socket = await upgrade(daemon.socket, "/session", {
      "X-Docker-Expose-Session-Uuid": "old-client",
      "X-Docker-Expose-Session-Grpc-Method": [...handlers.keys()],
    });
    const served = serveCalls(socket, handlers);
    const query = "version=2&remote=client-session&session=old-client&t=two:3&networkmode=none";
    const answer = await posted(daemon.socket, `/build?${query}`);
    served.close();
    assert.match(answer, /moby\.image\.id/);
    const read = ["run", "--rm", "--network", "none", "two:3", "cat", "/a"];
    assert.equal(await daemon.ok(...read), "sent");
  });

  test("a failure ends the stream with BuildKit's words", async () => {
    const messages = await build({ Dockerfile: 'FROM payload\nRUN ["/bin/exit", "3"]\n' }, {});
    const { error } = messages.at(-1)!;
    const expected = 'process "/bin/exit 3" did not complete successfully: exit code: 3';
    assert.equal(error, expected);
    assert(traces(messages).some(({ vertexes }) => vertexes.some((one) => one.error === expected)));
  });

  test("what cannot be done is refused", async () => {
    const Dockerfile = "FROM payload\n";
    const refused = (options: object) => build({ Dockerfile }, options);
    await assert.rejects(refused({ squash: true }), /squash is not supported/);
    await assert.rejects(refused({ outputs: "{" }), /error reading outputs/);
    await assert.rejects(refused({ version: "3" }), /invalid version 3/);
  });
});

function posted(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path, method: "POST" }, (answer) => text(answer).then(resolve, reject))
      .on("error", reject)
      .end();
  });
}
