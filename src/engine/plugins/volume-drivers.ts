// Volumes that plugins keep: docker's VolumeDriver protocol, typed and checked. Who mounts is named
// by an id, so that a plugin counts its users; what this engine could not tell a plugin that was
// down (an unmount) it tells before it asks for the same volume again, also after a restart.

import { GantryError, type Logger } from "../../base/index.ts";
import { AT_ONCE, PATIENT, type Plugins, QUICK } from "./plugins.ts";

export interface PluginVolume {
  name: string;
  mountpoint: string;
  createdAt?: string;
  status?: Record<string, unknown>;
}

interface Users {
  /** Whose unmount the plugin did not take. */
  ids: string[];
  /** Who has it mounted, or was about to when the daemon died. */
  held?: string[];
}

/** What a plugin has to be told yet, by volume. */
export interface OwedUnmounts {
  get(volume: string): Users | undefined;
  put(volume: string, owed: Users): void;
  delete(volume: string): void;
}

interface Answer {
  Err?: unknown;
  Mountpoint?: unknown;
  Volume?: unknown;
  Volumes?: unknown;
  Capabilities?: { Scope?: unknown };
}

export class VolumeDrivers {
  #plugins: Plugins;
  #log: Logger;
  #scopes = new Map<string, "local" | "global">();
  #owed: OwedUnmounts;

  constructor(plugins: Plugins, owed: OwedUnmounts, log: Logger) {
    this.#plugins = plugins;
    this.#owed = owed;
    this.#log = log;
  }

  /** Names of the plugins that keep volumes and answer. */
  names(): Promise<string[]> {
    return this.#plugins.implementing("VolumeDriver");
  }

  /** Throws not-found, in docker's words, unless there is such a driver. */
  async require(driver: string): Promise<void> {
    await this.#plugins.require(driver, "VolumeDriver", QUICK);
  }

  async create(
    driver: string,
    name: string,
    options: Record<string, string> | null,
  ): Promise<void> {
    await this.#call(driver, "Create", { Name: name, Opts: options }, PATIENT);
  }

  async remove(driver: string, name: string): Promise<void> {
    await this.#settle(driver, name);
    await this.#call(driver, "Remove", { Name: name }, PATIENT);
    this.#owed.delete(name);
  }

  /** Returns where the plugin has mounted the volume, for a user of this id. */
  async mount(driver: string, name: string, id: string): Promise<string> {
    await this.#settle(driver, name);
    this.#note(name, ({ ids, held }) => ({ ids, held: [...without(held, id), id] }));
    const { Mountpoint } = await this.#call(driver, "Mount", { Name: name, ID: id }, PATIENT).catch(
      (error) => {
        this.#note(name, ({ ids, held }) => ({ ids, held: without(held, id) }));
        throw error;
      },
    );
    if (typeof Mountpoint === "string" && Mountpoint.startsWith("/")) return Mountpoint;
    await this.unmount(driver, name, id);
    const shown = JSON.stringify(Mountpoint ?? "");
    throw new GantryError("internal", `VolumeDriver.Mount: ${shown} is no absolute path`);
  }

  /** Never throws: a plugin that is down must not keep a container from ending. */
  async unmount(driver: string, name: string, id: string): Promise<void> {
    try {
      await this.#call(driver, "Unmount", { Name: name, ID: id }, AT_ONCE);
      this.#note(name, ({ ids, held }) => ({ ids, held: without(held, id) }));
    } catch (error) {
      this.#log.error("A volume plugin did not unmount", { plugin: driver, volume: name, error });
      this.#note(name, ({ ids, held }) => ({
        ids: [...without(ids, id), id],
        held: without(held, id),
      }));
    }
  }

  /** At boot: who had the volume mounted and is no user any more (a daemon that was killed while a
   * container started, or files were copied) is owed to the plugin. */
  recover(name: string, isUser: (id: string) => boolean): void {
    const gone = this.#owed.get(name)?.held?.filter((id) => !isUser(id)) ?? [];
    if (gone.length === 0) return;
    this.#note(name, ({ ids, held }) => ({
      ids: [...ids.filter((id) => !gone.includes(id)), ...gone],
      held: held.filter(isUser),
    }));
  }

  #note(name: string, change: (users: Required<Users>) => Required<Users>): void {
    const { ids = [], held = [] } = this.#owed.get(name) ?? {};
    const after = change({ ids, held });
    if (after.ids.length + after.held.length > 0) this.#owed.put(name, after);
    else this.#owed.delete(name);
  }

  async #settle(driver: string, name: string): Promise<void> {
    for (const id of this.#owed.get(name)?.ids ?? []) {
      await this.#call(driver, "Unmount", { Name: name, ID: id }, QUICK).catch((error) => {
        // It has heard it now, and may have before: what it says of it keeps nobody from mounting.
        if (!hasAnswered(error)) throw error;
        this.#log.warn("A volume plugin did not unmount", { plugin: driver, volume: name, error });
      });
      this.#note(name, ({ ids, held }) => ({ ids: without(ids, id), held }));
    }
  }

  /** Where the volume is, mounted or not; "" where the plugin does not say. */
  async path(driver: string, name: string): Promise<string> {
    const { Mountpoint } = await this.#call(driver, "Path", { Name: name }, AT_ONCE);
    return typeof Mountpoint === "string" ? Mountpoint : "";
  }

  async get(driver: string, name: string): Promise<PluginVolume> {
    const { Volume } = await this.#call(driver, "Get", { Name: name }, AT_ONCE);
    const found = volumeOf(Volume);
    if (found !== undefined) return found;
    throw new GantryError("internal", "VolumeDriver.Get: the plugin's answer has no volume");
  }

  async list(driver: string): Promise<PluginVolume[]> {
    const { Volumes } = await this.#call(driver, "List", {}, AT_ONCE);
    const all = Array.isArray(Volumes) ? Volumes.map(volumeOf) : [];
    return all.filter((one) => one !== undefined);
  }

  /** "global": other machines see the same volumes. Asked once; "local" where it does not say. */
  async scope(driver: string): Promise<"local" | "global"> {
    const known = this.#scopes.get(driver);
    if (known !== undefined) return known;
    try {
      const { Capabilities } = await this.#call(driver, "Capabilities", {}, AT_ONCE);
      const scope = Capabilities?.Scope === "global" ? "global" : "local";
      this.#scopes.set(driver, scope);
      return scope;
    } catch {
      return "local"; // an old plugin has no such method
    }
  }

  async #call(driver: string, method: string, body: object, limits: typeof QUICK): Promise<Answer> {
    const answer = await this.#plugins.call<Answer | null>(
      driver,
      "VolumeDriver",
      method,
      body,
      limits,
    );
    const said = answer?.Err;
    if (typeof said === "string" && said !== "") {
      throw new GantryError("internal", said, { detail: { pluginStatus: 200 } });
    }
    return answer ?? {};
  }
}

const hasAnswered = (error: unknown): boolean =>
  error instanceof GantryError && error.detail["pluginStatus"] !== undefined;

function volumeOf(value: unknown): PluginVolume | undefined {
  const one = (value ?? {}) as Record<string, unknown>;
  if (typeof one["Name"] !== "string") return undefined;
  const status = one["Status"];
  return {
    name: one["Name"],
    mountpoint: typeof one["Mountpoint"] === "string" ? one["Mountpoint"] : "",
    ...(typeof one["CreatedAt"] === "string" && { createdAt: one["CreatedAt"] }),
    ...(typeof status === "object" && status && { status: status as Record<string, unknown> }),
  };
}

const without = (ids: readonly string[], id: string): string[] => ids.filter((one) => one !== id);
