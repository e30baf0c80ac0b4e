// The plugins of this machine: found by name, asked once what they implement (/Plugin.Activate),
// and asked again when a plugin of that name has moved.

import { setTimeout as delay } from "node:timers/promises";
import { GantryError, type Logger } from "../../base/index.ts";
import { findPlugin, type PluginAddress, type PluginFolders, pluginNames } from "./find-plugin.ts";
import { type CallLimits, callPlugin, firstPauseMs } from "./plugin-client.ts";

export type PluginPart = "VolumeDriver" | "authz" | "NetworkDriver" | "IpamDriver" | "LogDriver";

/** The short ones are asked often; dockerd's limits. */
export const QUICK: CallLimits = { answerMs: 60_000, connectMs: 3_000 };
/** Making or mounting a volume may take its time, and so may its plugin to come up. */
export const PATIENT: CallLimits = { answerMs: 120_000, connectMs: 10_000, appearMs: 10_000 };
/** When the daemon starts, its plugins may be starting, too: dockerd waits as long. */
export const AT_START: CallLimits = { answerMs: 60_000, connectMs: 15_000, appearMs: 15_000 };
/** For those who list what is there: nobody waits for a plugin that is down. */
export const AT_ONCE: CallLimits = { answerMs: 20_000, connectMs: 0 };

interface Activated {
  address: PluginAddress;
  implements: readonly string[];
}

export class Plugins {
  #folders: PluginFolders;
  #log: Logger;
  #known = new Map<string, Activated>();

  constructor(folders: PluginFolders, log: Logger) {
    this.#folders = folders;
    this.#log = log;
  }

  /** Calls a method of a plugin; throws not-found when there is none that implements `part`. */
  async call<T>(
    name: string,
    part: PluginPart,
    method: string,
    body: unknown,
    limits: CallLimits = QUICK,
  ): Promise<T> {
    const { address } = await this.#activate(name, part, limits);
    try {
      return await callPlugin<T>(address, `${methodPrefix(part)}.${method}`, body, limits);
    } catch (error) {
      // It may come back as another program.
      this.#known.delete(name);
      throw error;
    }
  }

  /** Throws not-found, with docker's words, unless there is such a plugin. */
  async require(name: string, part: PluginPart, limits = QUICK): Promise<void> {
    await this.#activate(name, part, limits);
  }

  async #activate(name: string, part: PluginPart, limits: CallLimits): Promise<Activated> {
    const address = await this.#find(name, limits.appearMs ?? 0);
    const missing = (): GantryError =>
      new GantryError("not-found", `plugin ${JSON.stringify(name)} not found`);
    if (address === undefined) throw missing();
    let known = this.#known.get(name);
    if (known === undefined || JSON.stringify(known.address) !== JSON.stringify(address)) {
      const answer = await callPlugin<{ Implements?: unknown }>(
        address,
        "Plugin.Activate",
        {},
        limits,
      );
      const parts = Array.isArray(answer.Implements) ? answer.Implements.map(String) : [];
      known = { address, implements: parts };
      this.#known.set(name, known);
      this.#log.debug("A plugin was activated", { plugin: name, implements: parts.join(", ") });
    }
    if (!known.implements.includes(part)) {
      const message = `plugin ${JSON.stringify(name)} does not implement ${part}`;
      throw new GantryError("not-found", message);
    }
    return known;
  }

  /** Waits for one that is not there yet; undefined when it does not come. */
  async #find(name: string, appearMs: number): Promise<PluginAddress | undefined> {
    const until = Date.now() + appearMs;
    for (let pauseMs = firstPauseMs; ; pauseMs *= 2) {
      const address = await findPlugin(name, this.#folders);
      if (address !== undefined || Date.now() + pauseMs > until) return address;
      if (pauseMs === firstPauseMs) {
        this.#log.warn("A plugin is not there yet, it is waited for", { plugin: name, appearMs });
      }
      await delay(pauseMs);
    }
  }

  /** What a plugin of that name implements; empty where there is none, or none that answers. */
  async partsOf(name: string): Promise<readonly string[]> {
    const known = this.#known.get(name);
    if (known !== undefined && (await findPlugin(name, this.#folders))) return known.implements;
    await this.#activate(name, "VolumeDriver", AT_ONCE).catch(() => {});
    return this.#known.get(name)?.implements ?? [];
  }

  /** Names of the plugins that implement `part`; those that do not answer are left out. */
  async implementing(part: PluginPart): Promise<string[]> {
    const names = await pluginNames(this.#folders).catch(() => []);
    const parts = await Promise.all(names.map((name) => this.partsOf(name)));
    return names.filter((_, at) => parts[at]!.includes(part));
  }
}

const methodPrefix = (part: PluginPart): string => (part === "authz" ? "AuthZPlugin" : part);
