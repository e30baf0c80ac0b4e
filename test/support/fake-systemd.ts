// A systemd in miniature (test/payload/systemd.c), run as a process of its own: passes sockets to a
// program and hears what that says of itself.

import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { compiled } from "./compiled.ts";

const source = fileURLToPath(new URL("../payload/systemd.c", import.meta.url));

export class FakeServiceManager {
  #child: ChildProcess;
  #text = "";
  #waiting: (() => void)[] = [];
  #over: Promise<void>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on("data", (chunk) => {
        this.#text += chunk;
        for (const check of this.#waiting) check();
      });
    }
    this.#over = new Promise((resolve) => child.on("close", () => resolve()));
  }

  /** `sockets`: NAME=PATH or NAME=PORT. `notify`: a path, or "@name". In namespaces of its own. */
  static async start(o: {
    notify: string;
    sockets: string[];
    command: string[];
    env?: Record<string, string>;
  }): Promise<FakeServiceManager> {
    const args = [
      "-n",
      "-m",
      "--",
      await compiled("systemd", [source]),
      o.notify,
      ...o.sockets,
      "--",
    ];
    const env = { ...process.env, ...o.env };
    return new FakeServiceManager(
      spawn("unshare", [...args, ...o.command], { stdio: ["pipe", "pipe", "pipe"], env }),
    );
  }

  /** Everything that it and the program have said. */
  get text(): string {
    return this.#text;
  }

  /** Resolves when the text matches; rejects when it cannot any more. */
  async heard(wanted: RegExp): Promise<RegExpExecArray> {
    const found = (): RegExpExecArray | null => wanted.exec(this.#text);
    const matched = new Promise<void>((resolve) => {
      this.#waiting.push(() => found() && resolve());
      if (found()) resolve();
    });
    await Promise.race([matched, this.#over]);
    const match = found();
    if (match === null) throw new Error(`It ended without ${wanted}:\n${this.#text}`);
    return match;
  }

  /** As `systemctl stop` does; resolves with the exit code. */
  async stop(): Promise<number> {
    this.#child.stdin!.end();
    await this.#over;
    return Number(/^exit (\d+)$/m.exec(this.#text)?.[1] ?? -1);
  }
}
