// Runs a container from a TypeScript program, with no daemon: streams its output as it comes and
// awaits its exit. As root: `tools/with-node examples/run-container.ts [IMAGE.tar.gz] [COMMAND…]`
// with a root file system archive, for instance Alpine's.

import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Engine } from "gantry";

const [archive, ...command] = process.argv.slice(2);
if (archive === undefined) throw new Error("usage: run-container.ts ARCHIVE [COMMAND...]");
const root = await mkdtemp(join(tmpdir(), "gantry-example-"));
try {
  await using engine = await Engine.open({
    dataRoot: join(root, "data"),
    execRoot: join(root, "exec"),
    network: { bridge: "none" },
  });
  const from = createReadStream(archive);
  for await (const message of engine.images.import({ from, repo: "example", changes: [] })) {
    process.stdout.write(`imported ${message["status"]}\n`);
  }
  const { exitCode } = await engine.run({
    image: "example",
    command: command.length > 0 ? command : ["echo", "hello from a container"],
    hostConfig: { NetworkMode: "none", AutoRemove: true },
    onOutput: (stream, chunk) => process[stream].write(chunk),
  });
  process.stdout.write(`exit code ${exitCode}\n`);
  process.exitCode = exitCode;
} finally {
  await rm(root, { recursive: true, force: true });
}
