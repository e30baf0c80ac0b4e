// A daemon reduced to its spawner and one container, to be killed by the test that starts it:
// prints where the container's monitor listens, then waits for its end.

import { join } from "node:path";
import { Spawner } from "../../src/native/index.ts";
import { containerPlan } from "./native-fixture.ts";

const root = process.argv[2]!;
const spawner = new Spawner({ execRoot: root });
const config = {
  id: "survivor",
  socketPath: join(root, "survivor.sock"),
  exitPath: join(root, "survivor.exit"),
  terminal: false,
  stdinOnce: false,
  openStdin: true,
  holdMs: 0,
  oomPath: "",
};
const rootfs = join(root, "rootfs");
const created = await spawner.create(containerPlan(rootfs, ["cat"], config), config);
const line = { spawnerPid: spawner.pid, socketPath: config.socketPath, pid: created.pid };
process.stdout.write(`${JSON.stringify(line)}\n`);
setInterval(() => {}, 60_000);
