// Runs a registry with access control as a process of its own, so that a test can put it into the
// network namespace of its daemon. Says where it listens; ends with its standard input.

import { startAccessRegistry } from "../support/registry-access-fixture.ts";

const registry = await startAccessRegistry(process.argv[2] === "htpasswd" ? "htpasswd" : "token");
process.stdout.write(`${registry.host}\n`);
process.stdin.resume().once("end", async () => {
  await registry.close();
  process.exit(0);
});
