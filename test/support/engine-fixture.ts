// An engine of a test's own: temporary roots, no bridge, the payload as its image. Disposing it
// removes every container and folder.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Engine, type OpenOptions } from "../../src/index.ts";
import { payloadRootfs } from "../payload/payload.ts";
import { removeCgroupFolders } from "./cgroup-folders.ts";

export const IMAGE = "payload:latest";

export class EngineFixture implements AsyncDisposable {
  readonly root: string;
  #engine: Engine | undefined;
  #options: OpenOptions;

  private constructor(root: string, options: OpenOptions) {
    this.root = root;
    this.#options = options;
  }

  static async make(options: OpenOptions = {}): Promise<EngineFixture> {
    const root = await mkdtemp(join(tmpdir(), "gantry-engine-"));
    const fixture = new EngineFixture(root, options);
    await fixture.open();
    try {
      await importPayload(fixture.engine);
    } catch (error) {
      await fixture.close();
      throw error;
    }
    return fixture;
  }

  get engine(): Engine {
    assert(this.#engine, "the engine is closed");
    return this.#engine;
  }

  get options(): OpenOptions {
    return optionsFor(this.root, this.#options);
  }

  async open(): Promise<Engine> {
    this.#engine = await Engine.open(this.options);
    return this.#engine;
  }

  /** Closes the engine; containers go on. */
  async close(): Promise<void> {
    await this.#engine?.close();
    this.#engine = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (!this.#engine) await this.open();
      for (const { id } of await this.engine.containers.list({ all: true })) {
        await this.engine.containers.remove(id, { force: true, volumes: true });
      }
    } finally {
      // An engine that stays open would keep the process of the tests for ever.
      await this.close();
      await removeCgroupFolders(this.options.cgroupParent!);
      await rm(this.root, { recursive: true, force: true });
    }
  }
}

export function optionsFor(root: string, options: OpenOptions = {}): OpenOptions {
  return {
    dataRoot: join(root, "data"),
    execRoot: join(root, "exec"),
    cgroupParent: `gantry-test-${process.pid}`,
    liveRestore: true,
    ...options,
    network: { bridge: "none", ...options.network },
  };
}

export async function importPayload(engine: Engine): Promise<void> {
  const from = Readable.from([await payloadRootfs()]);
  const messages = engine.images.import({ from, repo: "payload", tag: "latest", changes: [] });
  for await (const _ of messages);
}

/** Creates and starts a container that runs `command`, without a network. */
export async function startContainer(
  engine: Engine,
  command: string[],
  o: { name?: string; config?: object; hostConfig?: object } = {},
): Promise<string> {
  const { id } = await engine.containers.create({
    ...(o.name && { name: o.name }),
    config: { Image: IMAGE, Cmd: command, ...o.config },
    hostConfig: { NetworkMode: "none", ...o.hostConfig },
  });
  await engine.containers.start(id);
  return id;
}

/** Runs to the end; with its output. */
export async function run(engine: Engine, command: string[], hostConfig: object = {}) {
  return await engine.run({
    image: IMAGE,
    command,
    hostConfig: { NetworkMode: "none", AutoRemove: true, ...hostConfig },
  });
}
