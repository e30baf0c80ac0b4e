// Gantry as a library: the engine without a daemon. What the daemon can do, a TypeScript program
// can do with this: the HTTP API, the command line and the dashboard are doors to the same object.
//
//   await using engine = await Engine.open();
//   const { exitCode, stdout } = await engine.run({ image: "hello-world" });

import { GantryError, type Logger, silentLogger } from "./base/index.ts";
import { lockRoot } from "./daemon/data-root-lock.ts";
import { type LibraryOptions, libraryOptions } from "./daemon/library-options.ts";
import { createEngine } from "./daemon/wire-engine.ts";
import type {
  AuthorizationDoor,
  BuildOutcome,
  Builds,
  Containers,
  CreateRequest,
  EngineDoors,
  Events,
  Explain,
  Images,
  Networks,
  RunningEngine,
  System,
  Volumes,
} from "./engine/index.ts";
import { type BuildOptions, libraryJob } from "./library-build.ts";
import { FrameDecoder } from "./protocol/index.ts";

export { createLogger, GantryError, type Logger } from "./base/index.ts";
export type * from "./engine/index.ts";
export type { BuildOptions } from "./library-build.ts";
export type * from "./spec/index.ts";

/** Everything has a default: the daemon's own. */
export interface OpenOptions extends LibraryOptions {
  /** Default: silent. */
  log?: Logger;
}

/** What `run` wants beyond a create request. */
export interface RunRequest extends Partial<CreateRequest> {
  image: string;
  command?: readonly string[];
  /** Called with output as it comes; without it, output is collected into the result. */
  onOutput?: (stream: "stdout" | "stderr", chunk: Uint8Array) => void;
  signal?: AbortSignal;
}
export interface RunResult {
  id: string;
  exitCode: number;
  stdout: string;
  stderr: string;
}

export class Engine implements EngineDoors, AsyncDisposable {
  readonly containers: Containers;
  readonly images: Images;
  readonly volumes: Volumes;
  readonly networks: Networks;
  readonly events: Events;
  readonly authorization: AuthorizationDoor;
  readonly system: System;
  readonly builds: Builds;
  readonly explain: Explain;
  #running: RunningEngine;
  #lock: { release(): void };

  private constructor(running: RunningEngine, lock: { release(): void }) {
    this.#running = running;
    this.#lock = lock;
    this.containers = running.containers;
    this.images = running.images;
    this.volumes = running.volumes;
    this.networks = running.networks;
    this.events = running.events;
    this.authorization = running.authorization;
    this.system = running.system;
    this.builds = running.builds;
    this.explain = running.explain;
  }

  /** Opens the engine over `dataRoot`, takes up the containers that run there, and returns when it
   * is ready. One engine at a time per data root. Needs root. */
  static async open(options: OpenOptions = {}): Promise<Engine> {
    if (process.getuid?.() !== 0) {
      throw new GantryError("forbidden", "The engine needs root privileges to make containers");
    }
    const { log = silentLogger, ...given } = options;
    const { engine, network } = await libraryOptions(given);
    const lock = await lockRoot("data", engine.dataRoot);
    try {
      return new Engine(await createEngine(engine, network, log), lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Creates and starts a container, follows its output and returns when it has ended. */
  async run(request: RunRequest): Promise<RunResult> {
    const { image, command, onOutput, signal, ...rest } = request;
    const config = {
      AttachStdout: true,
      AttachStderr: true,
      ...rest.config,
      Image: image,
      ...(command && { Cmd: [...command] }),
    };
    const hostConfig = rest.hostConfig ?? {};
    const o = signal ? { signal } : {};
    const { id } = await this.containers.create({ ...rest, config, hostConfig }, o);
    const attached = await this.containers.attach(id, {
      stdin: false,
      stdout: true,
      stderr: true,
      stream: true,
      logs: false,
    });
    const end = hostConfig.AutoRemove ? "removed" : "next-exit";
    const { done } = await this.containers.wait(id, end, o);
    const output = collect(attached, onOutput);
    await this.containers.start(id, o);
    const [{ exitCode }, texts] = await Promise.all([done, output]);
    return { id, exitCode, ...texts };
  }

  /** Builds an image of a folder. Whoever wants more than this calls `builds.solve`. */
  async build(options: BuildOptions): Promise<BuildOutcome> {
    const { onEvent: tell, signal } = options;
    return await this.builds.solve(libraryJob(options), {
      ...(tell && { tell }),
      ...(signal && { signal }),
    });
  }

  /** Containers go on running unless the engine was opened with `liveRestore: false`. */
  async close(): Promise<void> {
    await this.#running.close();
    this.#lock.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Splits the frames of an attached container without a terminal into its two streams. */
async function collect(
  attached: { tty: boolean; stream: AsyncIterable<Uint8Array> },
  onOutput: RunRequest["onOutput"],
): Promise<{ stdout: string; stderr: string }> {
  const collected: Record<"stdout" | "stderr", Uint8Array[]> = { stdout: [], stderr: [] };
  const deliver = onOutput ?? ((stream, chunk) => void collected[stream].push(chunk));
  const decoder = new FrameDecoder();
  for await (const chunk of attached.stream) {
    if (attached.tty) deliver("stdout", chunk);
    else for (const { stream, data } of decoder.push(chunk)) deliver(nameOf(stream), data);
  }
  const text = (chunks: Uint8Array[]): string => Buffer.concat(chunks).toString();
  return { stdout: text(collected.stdout), stderr: text(collected.stderr) };
}

const nameOf = (stream: number): "stdout" | "stderr" => (stream === 2 ? "stderr" : "stdout");
