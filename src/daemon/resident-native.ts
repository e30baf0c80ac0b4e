// The spawner, kept alive: when its process ends unexpectedly (killed, out of memory) the requests
// that were under way fail, and a new one takes the next request. Containers are not concerned:
// they live beneath their monitors. Each one is the program that was there at the start: one that
// was built since may speak another protocol.

import type { Duplex } from "node:stream";
import { GantryError, type Logger } from "../base/index.ts";
import {
  type Created,
  keptProgramPath,
  type MonitorConfig,
  type Native,
  type Plan,
  type PlanResults,
  Spawner,
} from "../native/index.ts";

export class ResidentNative implements Native {
  #execRoot: string;
  #log: Logger;
  #current: Spawner | undefined;
  #closed = false;
  #poolParents: readonly string[] = [];
  /** Only for tests; otherwise the one that this process keeps. */
  #program: string | undefined;

  constructor(execRoot: string, log: Logger, { program }: { program?: string } = {}) {
    this.#program = program;
    this.#execRoot = execRoot;
    this.#log = log;
  }

  /** The spawner, started on first use and after its end. */
  get #spawner(): Spawner {
    if (this.#current) return this.#current;
    if (this.#closed) throw new GantryError("unavailable", "The native program was closed");
    const program = keptProgramPath(this.#program);
    const spawner = new Spawner({ execRoot: this.#execRoot, program });
    this.#current = spawner;
    if (this.#poolParents.length > 0) spawner.preparePool(this.#poolParents).catch(() => {});
    void spawner.exited.then(() => {
      if (this.#current !== spawner) return;
      this.#current = undefined;
      if (!this.#closed) this.#log.error("The native program has ended; it starts again on demand");
    });
    return spawner;
  }

  async run(
    plan: Pick<Plan, "host" | "deadlineMs"> & Partial<Plan>,
    options?: { signal?: AbortSignal },
  ): Promise<PlanResults> {
    return this.#spawner.run(plan, options);
  }

  create(plan: Plan, monitor: MonitorConfig, options?: { signal?: AbortSignal }): Promise<Created> {
    return this.#spawner.create(plan, monitor, options);
  }

  async preparePool(parents: readonly string[]): Promise<void> {
    this.#poolParents = parents;
    await this.#current?.preparePool(parents);
  }

  openStream(): { path: string; token: Uint8Array; stream: Promise<Duplex>; close(): void } {
    return this.#spawner.openStream();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#current?.close();
  }
}
