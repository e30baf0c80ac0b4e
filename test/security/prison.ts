// Where escapes are tried: a daemon of its own, an image with the attacks in it, and a folder of
// the host that no container is given: whatever an attack does, that folder stays as it is.

import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import type Docker from "dockerode";
import { startDaemon, type TestDaemon } from "../e2e/harness.ts";
import { run } from "../e2e/process.ts";
import { outputOf } from "./output.ts";
import { rootfsWith, securityProgram } from "./programs.ts";

export const IMAGE = "attack:latest";
export const SECRET = "OF THE HOST";

/** The kinds of containers that everything is tried in. */
export const KINDS: readonly [name: string, host: Docker.HostConfig][] = [
  ["a default container", {}],
  ["a container with a user namespace", { UsernsMode: "auto" }],
];

export interface Outcome {
  code: number;
  output: string;
  /** Of each attempt, in order: what was tried, and how it ended. */
  attempts: [what: string, outcome: string][];
}

export class Prison implements AsyncDisposable {
  readonly daemon: TestDaemon;
  readonly docker: Docker;
  /** Of the host; nobody is given it. */
  readonly outside: string;
  /** The attacks as a program of the host. */
  readonly program: string;

  private constructor(daemon: TestDaemon, outside: string, program: string) {
    this.daemon = daemon;
    this.docker = daemon.dockerode;
    this.outside = outside;
    this.program = program;
  }

  static async make(options: { args?: string[] } = {}): Promise<Prison> {
    const program = await securityProgram("attack");
    const daemon = await startDaemon(options);
    try {
      // On the disk of the data root, so that handles and hard links could lead there.
      const outside = await mkdtemp(join(daemon.folder, "outside-"));
      await chmod(outside, 0o755);
      await mkdir(join(outside, "folder"));
      await writeFile(join(outside, "secret"), SECRET, { mode: 0o644 });
      const prison = new Prison(daemon, outside, program);
      await prison.import(IMAGE, await rootfsWith("attack"));
      return prison;
    } catch (error) {
      await daemon.stop();
      throw error;
    }
  }

  async import(image: string, rootfs: Buffer, changes = "ENV PATH=/bin"): Promise<void> {
    const from = new PassThrough();
    from.end(rootfs);
    const [repo, tag] = image.split(":");
    const stream = await this.docker.importImage(from, { repo, tag, changes });
    const text = (await buffer(stream as unknown as PassThrough)).toString();
    if (text.includes('"error"')) throw new Error(text);
  }

  async create(
    Cmd: string[],
    HostConfig: Docker.HostConfig = {},
    config: Partial<Docker.ContainerCreateOptions> = {},
  ): Promise<Docker.Container> {
    return await this.docker.createContainer({
      Image: IMAGE,
      Cmd,
      ...config,
      HostConfig: { NetworkMode: "none", ...HostConfig },
    });
  }

  async start(...args: Parameters<Prison["create"]>): Promise<Docker.Container> {
    const container = await this.create(...args);
    await container.start();
    return container;
  }

  /** Runs to the end and removes it. A container that cannot be started is code −1. */
  async run(...args: Parameters<Prison["create"]>): Promise<Outcome> {
    let container: Docker.Container;
    try {
      container = await this.create(...args);
    } catch (error) {
      return outcomeOf(-1, String(error));
    }
    try {
      const stream = await container.attach({ stream: true, stdout: true, stderr: true });
      const text = outputOf(container, stream, args[2]?.Tty === true);
      await container.start();
      const { StatusCode } = (await container.wait()) as { StatusCode: number };
      return outcomeOf(StatusCode, await text);
    } catch (error) {
      return outcomeOf(-1, String(error));
    } finally {
      await container.remove({ force: true, v: true });
    }
  }

  async exec(
    container: Docker.Container,
    Cmd: string[],
    options: Partial<Docker.ExecCreateOptions> = {},
  ): Promise<Outcome> {
    try {
      const exec = await container.exec({
        Cmd,
        AttachStdout: true,
        AttachStderr: true,
        ...options,
      });
      const stream = await exec.start({});
      const text = await outputOf(container, stream, options.Tty === true);
      return outcomeOf((await exec.inspect()).ExitCode ?? -1, text);
    } catch (error) {
      return outcomeOf(-1, String(error));
    }
  }

  /** The attacks as a program of the host. */
  async onHost(...args: string[]): Promise<string> {
    return (await run(this.program, args)).stdout.trim();
  }

  async untouched(): Promise<void> {
    assert.deepEqual((await readdir(this.outside)).sort(), ["folder", "secret"]);
    assert.deepEqual(await readdir(join(this.outside, "folder")), []);
    assert.equal(await readFile(join(this.outside, "secret"), "utf8"), SECRET);
    const { mode, uid, gid } = await stat(join(this.outside, "secret"));
    assert.deepEqual([mode & 0o7777, uid, gid], [0o644, 0, 0]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon.stop();
    await rm(this.outside, { recursive: true, force: true });
  }
}

function outcomeOf(code: number, output: string): Outcome {
  const attempts = output
    .split(/\r?\n/)
    .filter((line) => line.includes("\t"))
    .map((line): [string, string] => line.split("\t") as [string, string]);
  return { code, output, attempts };
}

/** Every attempt ended with an error; those named in `but` may end otherwise. */
export function allRefused({ attempts, output }: Outcome, but: readonly string[] = []): void {
  assert.ok(attempts.length > 0, `nothing was tried: ${output}`);
  const got = attempts.filter(([what, how]) => !/^E[A-Z0-9]+$/.test(how) && !but.includes(what));
  assert.deepEqual(got, []);
}
