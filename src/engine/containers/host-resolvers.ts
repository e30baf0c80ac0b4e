// The host's name servers change while containers run (a laptop joins another network): those that
// ask the resolver in their namespace and have no servers of their own follow at once. Containers
// without it have a file of their own, which is written when they start, as with docker.

import { type FSWatcher, watch } from "node:fs";
import { realpath } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { messageOf } from "../../base/index.ts";
import type { AttachmentRecord } from "../../network/index.ts";
import type { EngineContext } from "../context.ts";
import { hostResolvConfs, upstreamsOf } from "./container-files.ts";
import type { ContainerRecord } from "./record.ts";

/** A file is often written in several steps. */
const SETTLE_MS = 200;

/** Watches the host's resolv.conf until the engine closes; what changed before counts too. */
export function followHostResolvers(engine: EngineContext): void {
  const follower = new Follower(engine);
  follower.changed();
  engine.closing.signal.addEventListener("abort", () => follower.stop(), { once: true });
}

class Follower {
  readonly #engine: EngineContext;
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(engine: EngineContext) {
    this.#engine = engine;
  }

  changed(): void {
    if (this.#timer || this.#engine.closing.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#follow();
    }, SETTLE_MS).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#unwatch();
  }

  #unwatch(): void {
    for (const watcher of this.#watchers.splice(0)) watcher.close();
  }

  async #follow(): Promise<void> {
    const { log } = this.#engine;
    try {
      // First the watch, then the look: nothing is missed between them.
      await this.#watch();
      await takeUpServers(this.#engine);
    } catch (error) {
      log.warn("Containers cannot follow the host's name servers", { error: messageOf(error) });
    }
  }

  /** The files themselves, and the folders in which others take their place. */
  async #watch(): Promise<void> {
    const named = hostResolvConfs(this.#engine);
    const paths = new Set<string>(named);
    for (const path of named) {
      paths.add(await realpath(path).catch(() => path));
    }
    this.#unwatch();
    if (this.#engine.closing.signal.aborted) return;
    for (const path of paths) {
      const name = basename(path);
      this.#add(path, () => true);
      this.#add(dirname(path), (changed) => changed === name);
    }
  }

  #add(path: string, matters: (name: string | null) => boolean): void {
    try {
      const watcher = watch(path, { persistent: false }, (_, name) => {
        if (matters(name)) this.changed();
      });
      watcher.on("error", () => watcher.close());
      this.#watchers.push(watcher);
    } catch {
      // It is not there: its folder tells when it comes.
    }
  }
}

async function takeUpServers(engine: EngineContext): Promise<void> {
  const networks = engine.network.describe();
  const internal = new Set(networks.filter((one) => one["Internal"] === true).map(({ Id }) => Id));
  const outdated = (c: ContainerRecord): AttachmentRecord[] => {
    const named = c.run?.attachments.filter(({ dns }) => dns) ?? [];
    if (named.length === 0) return [];
    const servers = upstreamsOf(engine, c).join();
    // A container on an internal network asks nobody outside through it.
    return named.filter(
      (one) => !internal.has(one.networkId) && one.dns!.servers.join() !== servers,
    );
  };
  for (const c of engine.containers.all()) {
    if (outdated(c).length === 0) continue;
    await engine.transitions.run(c.id, async () => {
      const records = outdated(c);
      for (const record of records) {
        await engine.network.rename(record, { servers: upstreamsOf(engine, c) });
      }
      if (records.length > 0 && !c.dead) engine.containers.putFact(c);
    });
  }
}
