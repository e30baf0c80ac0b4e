// Password hashes, off the event loop: @node-rs/bcrypt computes in libuv's threads. Those threads
// also read and write the files of the registry, so only a few hashes run at once and a bounded
// number wait; a flood of wrong passwords slows logins, never downloads (decision 0036).
// The library is found at run time: a native module cannot be put in a bundle.

import { createRequire as requireFrom } from "node:module"; // a bundle has a createRequire already
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { programRoot } from "../../base/index.ts";
import { RegistryError } from "../errors.ts";

interface Bcrypt {
  verify(password: string, hash: string): Promise<boolean>;
  hash(password: string, options: { cost: number }): Promise<string>;
}

const concurrent = Math.max(1, Math.min(2, availableParallelism() - 1));
const waitingMax = 256;
let running = 0;
const waiting: (() => void)[] = [];
let library: Bcrypt | undefined;

/** Whether `password` belongs to `hash` ($2a$, $2b$ or $2y$). TOOMANYREQUESTS when too many wait.
 * `before` is called when its turn has come, and may throw to save the work. */
export async function verifyPassword(
  password: string,
  hash: string,
  before?: () => void,
): Promise<boolean> {
  // $2y$ is PHP's name for what $2b$ does; not every library knows it.
  return exclusively((bcrypt) => {
    before?.();
    return bcrypt.verify(password, hash.replace(/^\$2y\$/, "$2b$"));
  });
}

/** A $2b$ hash of cost 2^`cost`. */
export async function hashPassword(password: string, cost = 10): Promise<string> {
  return exclusively((bcrypt) => bcrypt.hash(password, { cost }));
}

async function exclusively<T>(work: (bcrypt: Bcrypt) => Promise<T>): Promise<T> {
  if (running >= concurrent) {
    if (waiting.length >= waitingMax) {
      throw new RegistryError("TOOMANYREQUESTS", "too many logins at once", {
        headers: { "Retry-After": "5" },
      });
    }
    await new Promise<void>((resolve) => waiting.push(resolve)); // the slot is handed over
  } else {
    running++;
  }
  try {
    library ??= requireFrom(join(programRoot(), "package.json"))("@node-rs/bcrypt") as Bcrypt;
    return await work(library);
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running--;
  }
}
