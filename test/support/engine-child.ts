// A program that embeds the engine, for tests that kill it: runs the steps that it is told on its
// standard input, one JSON line each, and answers each with one line.

import { createInterface } from "node:readline";
import { messageOf } from "../../src/base/index.ts";
import { Engine } from "../../src/index.ts";
import { importPayload, optionsFor } from "./engine-fixture.ts";

const [root = "", cgroupParent = ""] = process.argv.slice(2);
const engine = await Engine.open(optionsFor(root, { cgroupParent }));
const answer = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
answer("open");
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...args] = JSON.parse(line) as [string, ...never[]];
  try {
    if (verb === "import") answer(await importPayload(engine));
    else {
      const call = engine.containers[verb as "start"] as (...args: unknown[]) => Promise<unknown>;
      answer((await call(...args)) ?? null);
    }
  } catch (error) {
    answer({ error: messageOf(error) });
  }
}
