// A process of its own that pulls an image, so that a test can kill it: arguments are the engine's
// options as JSON and the image's name. Its standard output says each message.

import { Engine } from "../../src/index.ts";

const [options = "{}", name = ""] = process.argv.slice(2);
const engine = await Engine.open(JSON.parse(options));
for await (const message of engine.images.pull(name)) console.log(JSON.stringify(message));
