// Runs the fake registry as a process of its own, so that a test can put it into the network
// namespace of its daemon. Says where it listens; ends with its standard input.

import { FakeRegistry } from "./registry.ts";

const [name, password] = process.argv.slice(2);
const registry = await FakeRegistry.listen(
  name && password ? { tokens: "users", user: { name, password } } : {},
);
process.stdout.write(`${registry.host}\n`);
process.stdin.resume().once("end", () => process.exit(0));
