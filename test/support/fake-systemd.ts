// A systemd in miniature (test/payload/systemd.c), run as a process of its own: passes sockets to a
// program and hears what that says of itself.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const source = fileURLToPath(new URL("../payload/systemd.c", import.meta.url));
const cache = fileURLToPath(new URL("../../.gantry-cache", import.meta.url));

async function managerProgram(): Promise<string> {
  const hash = createHash("sha256").update(await readFile(source));
  const path = join(cache, `systemd-${hash.digest("hex").slice(0, 16)}`);
  const there = await access(path).then(
    () => true,
    () => false,
  );
  if (there) return path;
  await mkdir(cache, { recursive: true });
  const temporary = `${path}.${process.pid}`;
  await run("gcc", ["-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", temporary, source]);
  await rename(temporary, path);
  return path;
}

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
    const args = ["-n", "-m", "--", await managerProgram(), o.notify, ...o.sockets, "--"];
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
