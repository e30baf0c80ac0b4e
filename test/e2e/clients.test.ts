// What libraries rely on that drive the API themselves (testcontainers, dockerode).

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

describe("libraries as clients", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon.stop());

  test("the logs since a start have its first line, also after a restart", async () => {
    const command = ["listen", "tcp", "80"];
    const container = await daemon.dockerode.createContainer({ Image: IMAGE, Cmd: command });
    await container.start();
    for (let turn = 0; turn < 3; turn++) {
      const { State } = await container.inspect();
      const since = new Date(State.StartedAt).getTime() / 1000;
      // testcontainers waits for a line in this stream before it goes on.
      const stream = await container.logs({ follow: true, stdout: true, stderr: true, since });
      const signal = AbortSignal.timeout(60_000);
      const [chunk] = await new Promise<Buffer[]>((resolve, reject) => {
        stream.once("data", (data: Buffer) => resolve([data]));
        signal.onabort = () => reject(new Error("the first line is not among them"));
      });
      assert.match(String(chunk), /listening/);
      (stream as unknown as { destroy(): void }).destroy();
      await container.restart({ t: 0 });
    }
  });

  test("a project's things are found, and pruned, by their labels", async () => {
    const docker = daemon.dockerode;
    const Labels = { "org.testcontainers.session-id": "s1" };
    const filters = { label: ["org.testcontainers.session-id=s1"] };
    await docker.createNetwork({ Name: "labelled", Labels });
    await docker.createVolume({ Name: "labelled", Labels });
    const container = await docker.createContainer({ Image: IMAGE, Cmd: ["true"], Labels });
    // As Ryuk does: containers first, then what they used.
    assert.equal((await docker.listContainers({ all: true, filters })).length, 1);
    await container.remove({ force: true, v: true });
    const pruned = await docker.pruneNetworks({ filters });
    assert.deepEqual(pruned.NetworksDeleted, ["labelled"]);
    const { Volumes } = await docker.listVolumes({ filters });
    assert.deepEqual(
      Volumes.map(({ Name }) => Name),
      ["labelled"],
    );
    await docker.getVolume("labelled").remove();
  });
});
