// A seccomp agent for tests: the payload's, which prints what it is told and asked.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { payloadProgram } from "../payload/payload.ts";
import { within } from "./deadline.ts";

export interface ProcessState {
  ociVersion: string;
  fds: string[];
  pid: number;
  metadata?: string;
  state: { ociVersion: string; id: string; status: string; pid: number; bundle: string };
}

export class SeccompAgent implements AsyncDisposable {
  readonly path: string;
  readonly lines: string[] = [];
  #child: ChildProcess;
  #waiting = new Set<() => void>();

  private constructor(path: string, child: ChildProcess) {
    this.path = path;
    this.#child = child;
    createInterface({ input: child.stdout! }).on("line", (line) => {
      this.lines.push(line);
      for (const wake of this.#waiting) wake();
    });
  }

  /** Answers as the payload's `agent` takes them: "39=+7", "39=1", "39=?7". */
  static async start(path: string, ...answers: string[]): Promise<SeccompAgent> {
    const child = spawn(await payloadProgram(), ["agent", path, ...answers], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const agent = new SeccompAgent(path, child);
    await agent.line(/^listening$/);
    return agent;
  }

  /** The first line that matches, now or later. */
  line(pattern: RegExp): Promise<string> {
    return within(() => `${pattern} among ${this.lines.join(", ")}`, this.#line(pattern));
  }

  async #line(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = this.lines.find((line) => pattern.test(line));
      if (found !== undefined) return found;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      await promise;
      this.#waiting.delete(resolve);
    }
  }

  get states(): ProcessState[] {
    const texts = this.lines.filter((line) => line.startsWith("state "));
    return texts.map((text) => JSON.parse(text.slice("state ".length)) as ProcessState);
  }

  /** Lets an answer go that waits. */
  go(): void {
    this.#child.stdin!.write("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}
