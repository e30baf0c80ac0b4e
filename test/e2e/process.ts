// Running a client as a person would: a command with its output and exit code, or a program on a
// real terminal that is typed at.

import { type ChildProcess, spawn } from "node:child_process";

const COMMAND_DEADLINE_MS = 60_000;
const TEXT_DEADLINE_MS = 30_000;

export type Result = { code: number; stdout: string; stderr: string };
export type RunOptions = {
  input?: string | Buffer;
  env?: Record<string, string>;
  deadlineMs?: number;
};

/** Runs to the end; never throws for an exit code. 128 + signal as a shell says it. */
export async function run(
  command: string,
  args: readonly string[],
  { input, env = {}, deadlineMs = COMMAND_DEADLINE_MS }: RunOptions = {},
): Promise<Result> {
  const { code, stdout, stderr } = await runRaw(command, args, { input, env, deadlineMs });
  return { code, stdout: stdout.toString("utf8"), stderr };
}

/** As run(), with the bytes of stdout. */
export async function runRaw(
  command: string,
  args: readonly string[],
  { input, env = {}, deadlineMs = COMMAND_DEADLINE_MS }: RunOptions & { input?: unknown } = {},
): Promise<{ code: number; stdout: Buffer; stderr: string }> {
  const child = spawn(command, args, {
    env: { ...process.env, ...env },
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const out: Buffer[] = [];
  let stderr = "";
  child.stdout!.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr!.on("data", (chunk) => (stderr += chunk));
  child.stdin?.on("error", () => {}); // the client may end without reading it all
  child.stdin?.end(input);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, deadlineMs);
  const code = await ended(child);
  clearTimeout(timer);
  if (late) {
    const what = [command, ...args].join(" ");
    throw new Error(`Hangs: ${what}\nstdout: ${Buffer.concat(out)}\nstderr: ${stderr}`);
  }
  return { code, stdout: Buffer.concat(out), stderr };
}

async function ended(child: ChildProcess): Promise<number> {
  return await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(code ?? 128 + (signal === "SIGKILL" ? 9 : 15)));
  });
}

/** A program that runs while the test talks to it. */
export class Session {
  readonly child: ChildProcess;
  /** Everything it has printed so far, both streams. */
  text = "";
  #exit: Promise<number>;
  #changed: () => void = () => {};

  constructor(command: string, args: readonly string[], env: Record<string, string> = {}) {
    this.child = spawn(command, args, { env: { ...process.env, ...env }, stdio: "pipe" });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.on("data", (chunk) => {
        this.text += chunk;
        this.#changed();
      });
    }
    this.child.stdin!.on("error", () => {});
    this.#exit = ended(this.child).finally(() => this.#changed());
    this.#exit.catch(() => {});
  }

  /** On a terminal of the given size: what is written is typed. */
  static terminal(
    command: string,
    args: readonly string[],
    { env = {}, rows = 24, columns = 80 }: TerminalOptions = {},
  ): Session {
    const quoted = [command, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`);
    const line = `stty rows ${rows} cols ${columns}; exec ${quoted.join(" ")}`;
    return new Session("script", ["-qefc", line, "/dev/null"], { ...env, SHELL: "/bin/sh" });
  }

  write(text: string): void {
    this.child.stdin!.write(text);
  }

  end(): void {
    this.child.stdin!.end();
  }

  /** Resolves when the text has appeared; throws when it cannot any more. */
  async until(pattern: RegExp | string): Promise<void> {
    let over = false;
    const end = this.#exit.then(
      () => (over = true),
      () => (over = true),
    );
    const deadline = Date.now() + TEXT_DEADLINE_MS;
    for (;;) {
      const found = typeof pattern === "string" ? this.text.includes(pattern) : null;
      if (found ?? (pattern as RegExp).test(this.text)) return;
      const left = deadline - Date.now();
      if (over || left <= 0) {
        throw new Error(`${over ? "Ended" : "Waited"} without ${pattern} in:\n${this.text}`);
      }
      let timer: NodeJS.Timeout | undefined;
      const changed = new Promise<void>((resolve) => {
        this.#changed = resolve;
        timer = setTimeout(resolve, left);
      });
      await Promise.race([changed, end]);
      clearTimeout(timer);
    }
  }

  async exitCode(): Promise<number> {
    const timer = setTimeout(() => this.child.kill("SIGKILL"), TEXT_DEADLINE_MS);
    try {
      return await this.#exit;
    } finally {
      clearTimeout(timer);
    }
  }
}

export type TerminalOptions = { env?: Record<string, string>; rows?: number; columns?: number };
