// A program that is there and may be executed, and that the kernel refuses all the same: another
// architecture, a script without `#!` or with an interpreter that is missing, too long a command.
// Docker learns of it after it has let the process go: the container, or the exec, has started,
// says so on its standard error and ends with 255. So does ours, with the cause and what to do.

import { adviceLines, adviceOf } from "../../base/index.ts";
import type { Operation, Plan } from "../../native/index.ts";
import type { EngineContext } from "../context.ts";
import { adviseStart } from "../explain/advise-start.ts";
import type { ContainerRecord } from "./record.ts";
import { type Explained, failureOf } from "./start-failure.ts";

/** As runc's init ends. */
const EXIT_UNFIT = 255;
const REFUSALS = ["ENOEXEC", "ENOENT", "E2BIG", "ELIBBAD", "ETXTBSY"];

/** What to run in the place of the program; undefined where what failed was something else. */
export async function wordsInstead(
  engine: EngineContext,
  c: ContainerRecord,
  error: unknown,
  explain: (error: unknown) => Explained,
): Promise<Operation | undefined> {
  const failure = failureOf(error);
  if (failure?.operation?.op !== "execve") return undefined;
  // "exec: …" is of a file that is not found or may not be executed: docker fails to start it.
  if (!REFUSALS.includes(failure.errno) || !failure.text.startsWith("exec ")) return undefined;
  const told = adviceOf(await adviseStart(engine, c, explain(error).error));
  const lines = [failure.text, ...(told ? adviceLines(told) : [])];
  return { op: "sayAndExit", text: `${lines.join("\n")}\n`, code: EXIT_UNFIT };
}

export function withProgram(plan: Plan, instead: Operation): Plan {
  return { ...plan, container: [...plan.container.slice(0, -1), instead] };
}
