// gantry-runtime as another engine calls it: bundles with the payload as their root file system, a
// state folder of the test's own. Disposing deletes what still runs.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringifyExactJson } from "../../src/base/index.ts";
import type { OciSpec } from "../../src/spec/index.ts";
import { bundleCli } from "../../tools/bundle-cli.ts";
import { RuntimeFixture } from "./runtime-fixture.ts";

const PROGRAM = fileURLToPath(new URL("../../bin/gantry-runtime", import.meta.url));

export interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

export class OciFixture implements AsyncDisposable {
  readonly program = PROGRAM;
  readonly runtime: RuntimeFixture;
  /** Plain Node for each call instead of a warm process. */
  plain = false;
  /** A network namespace that plays the host's. */
  netns = "";
  #count = 0;

  private constructor(runtime: RuntimeFixture) {
    this.runtime = runtime;
  }

  static async make(): Promise<OciFixture> {
    const runtime = await RuntimeFixture.make();
    await bundleCli();
    return new OciFixture(runtime);
  }

  get root(): string {
    return this.runtime.native.path("state");
  }

  /** The root file system of all its bundles. */
  get rootfs(): string {
    return this.runtime.native.rootfs;
  }

  path(name: string): string {
    return this.runtime.native.path(name);
  }

  /** A folder with a config.json. */
  async bundle(
    args: string[],
    change: (spec: OciSpec) => void = () => {},
  ): Promise<{ id: string; bundle: string }> {
    const id = `oci${process.pid}x${++this.#count}`;
    const bundle = this.path(`bundle-${this.#count}`);
    await mkdir(bundle);
    const spec = this.runtime.spec(id, args, {});
    spec.root = { ...spec.root, path: this.runtime.native.rootfs };
    change(spec);
    await writeFile(join(bundle, "config.json"), stringifyExactJson(spec));
    return { id, bundle };
  }

  /** Starts a call; its streams are pipes. */
  spawn(
    args: string[],
    o: { stdio?: ("pipe" | number)[]; cwd?: string; env?: Record<string, string> } = {},
  ): ChildProcess {
    return spawn(...this.#command(args), {
      stdio: o.stdio ?? ["pipe", "pipe", "pipe"],
      cwd: o.cwd ?? this.path("."),
      env: { ...process.env, GANTRY_PLAIN: this.plain ? "1" : "", ...o.env },
    });
  }

  #command(args: string[]): [program: string, args: string[]] {
    const all = ["--root", this.root, ...args];
    if (this.netns === "") return [PROGRAM, all];
    return ["/usr/bin/nsenter", [`--net=${this.netns}`, "--", PROGRAM, ...all]];
  }

  async call(...args: string[]): Promise<Result> {
    const child = this.spawn(args);
    child.stdin?.end();
    return await resultOf(child);
  }

  /** The standard output of a call that succeeds. A container that goes on keeps no pipe of ours:
   * only what answers may be asked in this way. */
  async ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.call(...args);
    if (code !== 0) throw new Error(`${args.join(" ")}: exit ${code}: ${stderr}`);
    return stdout;
  }

  /** Like ok, for what leaves a process behind that keeps its standard streams. */
  async detached(...args: string[]): Promise<void> {
    const child = spawn(...this.#command(args), {
      stdio: ["ignore", "ignore", "pipe"],
      cwd: this.path("."),
      env: { ...process.env, GANTRY_PLAIN: this.plain ? "1" : "" },
    });
    const stderr: Buffer[] = [];
    child.stderr!.on("data", (chunk: Buffer) => stderr.push(chunk));
    const [code] = await once(child, "exit");
    child.stderr!.destroy();
    if (code !== 0) throw new Error(`${args.join(" ")}: exit ${code}: ${Buffer.concat(stderr)}`);
  }

  async state(id: string): Promise<{ status: string; pid: number; bundle: string }> {
    return JSON.parse(await this.ok("state", id));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.plain = false;
    this.netns = "";
    for (const id of await readdir(this.root).catch(() => [])) await this.call("delete", "-f", id);
    await this.runtime[Symbol.asyncDispose]();
  }
}

export async function resultOf(child: ChildProcess): Promise<Result> {
  const parts: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.on("data", (chunk: Buffer) => parts[name].push(chunk));
  }
  const [code] = (await once(child, "close")) as [number | null];
  const text = (name: "stdout" | "stderr") => Buffer.concat(parts[name]).toString();
  return { code, stdout: text("stdout"), stderr: text("stderr") };
}
