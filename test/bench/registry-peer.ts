// A gantry registry as the benchmark starts it: arguments are the root and the port.

import { createRegistry, openFileStore } from "../../src/registry/index.ts";

const [root = "", port = "0"] = process.argv.slice(2);
const registry = createRegistry({ store: await openFileStore(root) });
await registry.listen({ host: "127.0.0.1", port: Number(port) });
