// The caller's own process as the commands see it: it runs plans with what only it has (streams,
// terminal, descriptors), and the containers become its children.

import {
  type DirectAnswer,
  decodeAnswer,
  directEvents,
  encodeDirect,
  type Native,
  type Plan,
} from "../native/index.ts";
import type { CallIo } from "../warm/index.ts";

type Request = Parameters<typeof encodeDirect>[0];
type CreateRequest = Omit<Extract<Request, { kind: "create" }>, "kind" | "plan">;

export class Caller implements Pick<Native, "run"> {
  readonly io: CallIo;

  constructor(io: CallIo) {
    this.io = io;
  }

  async run(plan: Pick<Plan, "host"> & Partial<Plan>): Promise<DirectAnswer["results"]> {
    return (await this.#ask({ kind: "run", plan })).results;
  }

  /** Starts a process; with `consoleSocket` its terminal goes there, else it is kept for wait. */
  create(plan: Plan, o: CreateRequest): Promise<DirectAnswer> {
    const answer = this.#ask({ kind: "create", plan, ...o });
    this.io.onIdle();
    return answer;
  }

  /** Waits for a process that was started by this call; signals of the caller go to it. Resolves
   * with its exit code, 128 and the signal where one has ended it. */
  async wait(pid: number, { terminal }: { terminal: boolean }): Promise<number> {
    return (await this.#ask({ kind: "wait", pid, terminal })).exitCode;
  }

  /** Until this call has unlocked it or ended, however it ends, no other locks the folder. */
  async lock(folder: string, waitMs: number): Promise<void> {
    await this.#ask({ kind: "lock", folder, waitMs });
  }
  async unlock(): Promise<void> {
    await this.#ask({ kind: "unlock" });
  }

  /** Calls `onOom` whenever memory has run out in a cgroup; resolves when the cgroup is gone. */
  async watchMemory(path: string, onOom: () => void): Promise<{ gone: Promise<void> }> {
    const { promise: gone, resolve } = Promise.withResolvers<void>();
    const stop = this.io.onNativeEvent((event) => {
      if (event === directEvents.oom) onOom();
      if (event !== directEvents.gone) return;
      stop();
      resolve();
    });
    await this.#ask({ kind: "watch", path });
    return { gone };
  }

  async listen(path: string): Promise<void> {
    await this.#ask({ kind: "listen", path });
  }
  async notify(o: Omit<Extract<Request, { kind: "notify" }>, "kind">): Promise<void> {
    await this.#ask({ kind: "notify", ...o });
  }

  async #ask(request: Request): Promise<DirectAnswer> {
    return decodeAnswer(request, await this.io.native(encodeDirect(request)));
  }
}
