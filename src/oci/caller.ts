// The caller's own process as the commands see it: it runs plans with what only it has (streams,
// terminal, descriptors), and the containers become its children.

import {
  type DirectAnswer,
  decodeAnswer,
  encodeDirect,
  type Native,
  type Plan,
} from "../native/index.ts";
import type { CallIo } from "../warm/index.ts";

type Request = Parameters<typeof encodeDirect>[0];

export class Caller implements Pick<Native, "run"> {
  readonly io: CallIo;

  constructor(io: CallIo) {
    this.io = io;
  }

  async run(plan: Pick<Plan, "host"> & Partial<Plan>): Promise<DirectAnswer["results"]> {
    return (await this.#ask({ kind: "run", plan })).results;
  }

  /** Starts a process; with `consoleSocket` its terminal goes there, else it is kept for wait. */
  create(
    plan: Plan,
    { preserveFds = 0, consoleSocket = "" }: { preserveFds?: number; consoleSocket?: string },
  ): Promise<DirectAnswer> {
    return this.#ask({ kind: "create", plan, preserveFds, consoleSocket });
  }

  /** Waits for a process that was started by this call; signals of the caller go to it. Resolves
   * with its exit code, 128 and the signal where one has ended it. */
  async wait(pid: number, { terminal }: { terminal: boolean }): Promise<number> {
    return (await this.#ask({ kind: "wait", pid, terminal })).exitCode;
  }

  async #ask(request: Request): Promise<DirectAnswer> {
    return decodeAnswer(request, await this.io.native(encodeDirect(request)));
  }
}
