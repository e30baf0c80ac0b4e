// The classic builder over addresses instead of a body (`remote`): tars and single Dockerfiles.

import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, before, test } from "node:test";
import type { BuildRequest } from "../../src/index.ts";
import { tarOf } from "../support/build-job.ts";
import { EngineFixture } from "../support/engine-fixture.ts";

let fixture: EngineFixture;
let server: Server;
let address: string;
const files = new Map<string, Buffer>();
before(async () => {
  fixture = await EngineFixture.make();
  server = createServer((request, response) => {
    const found = files.get(request.url ?? "");
    response.writeHead(found ? 200 : 404).end(found);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(async () => {
  server.close();
  await fixture[Symbol.asyncDispose]();
});

async function build(remote: string): Promise<string> {
  const request: BuildRequest = {
    ...{ context: Readable.from([]), remote, dockerfile: "Dockerfile", tags: ["remote:1"] },
    ...{ buildArgs: {}, labels: {}, pull: false, noCache: false, quiet: false, remove: true },
    ...{ cacheFrom: [], squash: false, hostConfig: { NetworkMode: "none" }, credentials: {} },
  };
  const said: unknown[] = [];
  for await (const { stream } of fixture.engine.builds.build(request)) said.push(stream);
  return said.join("");
}

test("a tar at an address is the context", async () => {
  const Dockerfile = 'FROM payload\nCOPY a /a\nRUN ["/bin/cat", "/a"]\n';
  files.set("/context.tar", await buffer(tarOf({ Dockerfile, a: "from afar" })));
  assert.match(
    await build(`${address}/context.tar`),
    /from afar[\s\S]*Successfully tagged remote:1/,
  );
});

test("a text at an address is a Dockerfile without a context", async () => {
  files.set("/Dockerfile", Buffer.from('FROM payload\nRUN ["/bin/echo", "alone"]\n'));
  assert.match(await build(`${address}/Dockerfile`), /alone/);
});

test("what is not there, or no address, is refused", async () => {
  await assert.rejects(build(`${address}/nothing`), /404/);
  await assert.rejects(build("/etc/passwd"), { kind: "invalid" });
});
