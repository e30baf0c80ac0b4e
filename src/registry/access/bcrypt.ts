// Password hashes, off the event loop: a worker thread computes them with bcryptjs, one at a time,
// and a bounded number waits; a flood of wrong passwords slows logins, never downloads (decision
// 0036). The thread is started by the first hash and ends when there was none for a while.
// Its few lines are text, and it finds the library at run time: so it needs no file of its own
// beside each bundle.

import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { GantryError, programRoot } from "../../base/index.ts";
import { RegistryError } from "../errors.ts";

type Task = { do: "verify"; password: string; hash: string } | HashTask;
type HashTask = { do: "hash"; password: string; cost: number };
type Answer = { value: boolean | string } | { error: string };

const waitingMax = 256;
const idleMsMax = 30_000;
const threadHeapMiBMax = 32;
const thread = `
const { parentPort, workerData } = require("node:worker_threads");
const { compareSync, hashSync } = require("node:module").createRequire(workerData)("bcryptjs");
parentPort.on("message", (task) => {
  try {
    const { password } = task;
    const value =
      task.do === "verify" ? compareSync(password, task.hash) : hashSync(password, task.cost);
    parentPort.postMessage({ value });
  } catch (error) {
    parentPort.postMessage({ error: String(error) });
  }
});
`;

let running = false;
const waiting: (() => void)[] = [];
let worker: Worker | undefined;
let idle: NodeJS.Timeout | undefined;

/** Whether `password` belongs to `hash` ($2a$, $2b$ or $2y$). TOOMANYREQUESTS when too many wait.
 * `before` is called when its turn has come, and may throw to save the work. */
export async function verifyPassword(
  password: string,
  hash: string,
  before?: () => void,
): Promise<boolean> {
  const value = await inTurn(() => {
    before?.();
    return { do: "verify", password, hash };
  });
  return value === true;
}

/** A $2b$ hash of cost 2^`cost`. */
export async function hashPassword(password: string, cost = 10): Promise<string> {
  return String(await inTurn(() => ({ do: "hash", password, cost })));
}

async function inTurn(task: () => Task): Promise<boolean | string> {
  if (running) {
    if (waiting.length >= waitingMax) {
      throw new RegistryError("TOOMANYREQUESTS", "too many logins at once", {
        headers: { "Retry-After": "5" },
      });
    }
    await new Promise<void>((resolve) => waiting.push(resolve)); // the turn is handed over
  }
  running = true;
  try {
    return await compute(task());
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running = false;
  }
}

/** One task at a time; the thread keeps the process alive only meanwhile. */
async function compute(task: Task): Promise<boolean | string> {
  clearTimeout(idle);
  const mine = (worker ??= startThread());
  mine.ref();
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const onExit = (): void => reject(new GantryError("internal", "The password thread has ended"));
  mine.once("message", resolve).once("error", reject).once("exit", onExit);
  try {
    mine.postMessage(task);
    const answer = await promise;
    if ("error" in answer) throw new GantryError("internal", `bcrypt failed: ${answer.error}`);
    return answer.value;
  } finally {
    mine.off("message", resolve).off("error", reject).off("exit", onExit);
    mine.unref();
    idle = setTimeout(() => endThread(mine), idleMsMax).unref();
  }
}

function startThread(): Worker {
  const started = new Worker(thread, {
    eval: true,
    name: "passwords",
    workerData: join(programRoot(), "package.json"),
    execArgv: [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: threadHeapMiBMax },
  });
  started.on("error", () => {}); // who waits is told; nobody else has to know
  started.once("exit", () => {
    if (worker === started) worker = undefined;
  });
  return started;
}

function endThread(mine: Worker): void {
  if (worker === mine) worker = undefined;
  void mine.terminate();
}
