// Which user namespace a container has. It is decided when the container is made and remembered
// with it: its record is what keeps a range from being handed out twice, through crashes too, and
// the range is free again when the record is gone. Steps of builds, which have no record, hold
// theirs in memory.

import { GantryError } from "../../base/index.ts";
import type { HostConfig, IdMaps, OciIdMapping } from "../../spec/index.ts";
import {
  firstFree,
  hostRanges,
  type IdRange,
  mapAround,
  needed,
  overlaps,
  subtract,
} from "./id-ranges.ts";
import { openPool, type Pool } from "./pool.ts";
import { openRemap, type Remap } from "./remap.ts";
import { type AutoMode, parseUsernsMode, type UsernsMode } from "./userns-mode.ts";

/** What a container's record says of its user namespace. */
export interface UsernsRecord extends IdMaps {
  /** The container whose namespace it is. */
  joins?: string;
  /** What of it came from the pool. */
  taken?: { uid: IdRange; gid: IdRange };
}

/** Of daemon.json. */
export interface UsernsOptions {
  remap: string;
  pool: string;
  /** Of containers that ask for none: "" follows `remap`. */
  defaultMode: string;
}

interface Holder {
  id: string;
  userns?: UsernsRecord;
}
/** What is known of the containers. */
export interface Holders {
  all(): Iterable<Holder>;
  /** Throws not-found. */
  find(ref: string): Holder;
}

const AUTO = parseUsernsMode("auto") as AutoMode;

export class UserNamespaces {
  readonly remap: Remap | undefined;
  readonly #pool: Pool;
  readonly #defaultMode: UsernsMode;
  readonly #held = new Map<string, UsernsRecord>();

  constructor(remap: Remap | undefined, pool: Pool, defaultMode: string) {
    this.remap = remap;
    const mapped = remap?.maps;
    const without = (ranges: IdRange[], maps: readonly OciIdMapping[] = []) =>
      subtract(ranges, hostRanges(maps));
    this.#pool = {
      ...pool,
      uid: without(pool.uid, mapped?.uid),
      gid: without(pool.gid, mapped?.gid),
    };
    const mode = parseUsernsMode(defaultMode);
    if (mode.kind === "container") {
      throw new GantryError("invalid", `invalid default-userns-mode: ${defaultMode}`);
    }
    this.#defaultMode = mode;
  }

  /** Containers that ask for nothing are in one. */
  get isDefault(): boolean {
    const { kind } = this.#defaultMode;
    return kind === "default" ? this.remap !== undefined : kind !== "host";
  }

  /** Whether it gets one. Takes nothing. Throws invalid for what cannot be, in dockerd's words
   * where it has some. */
  isWanted(host: HostConfig, containers: Holders): boolean {
    return this.#choose(host, containers).kind !== "host";
  }

  /** Undefined: the host's. Nothing may be awaited between this and the writing of the record.
   * Throws invalid, or exhausted where no range is left. */
  assign(host: HostConfig, containers: Holders): UsernsRecord | undefined {
    const mode = this.#choose(host, containers);
    switch (mode.kind) {
      case "container": {
        const { id, userns } = containers.find(mode.ref);
        // Its range too: the other may be removed while this one runs.
        return { ...userns!, joins: userns!.joins ?? id };
      }
      case "auto":
        return this.#allocate(mode, containers);
      case "private":
        return this.remap ? { ...this.remap.maps } : this.#allocate(AUTO, containers);
      default:
        return undefined;
    }
  }

  /** As assign, for what has no record: until `release`. */
  hold(
    id: string,
    host: HostConfig,
    containers: Holders,
  ): { userns: UsernsRecord | undefined; release(): void } {
    const userns = this.assign(host, containers);
    if (userns) this.#held.set(id, userns);
    return { userns, release: () => void this.#held.delete(id) };
  }

  #choose(host: HostConfig, containers: Holders): UsernsMode {
    const asked = parseUsernsMode(host.UsernsMode ?? "");
    const mode = this.#resolve(asked, donorsOf(host, containers));
    if (mode.kind === "host") return mode;
    const bad = (message: string): GantryError => new GantryError("invalid", message);
    if (host.Privileged) {
      throw bad(
        "privileged mode is incompatible with user namespaces.  You must run the container in " +
          "the host namespace when running privileged mode",
      );
    }
    if (host.NetworkMode === "host") {
      throw bad("cannot share the host's network namespace when user namespaces are enabled");
    }
    if (host.PidMode === "host") {
      throw bad("cannot share the host PID namespace when user namespaces are enabled");
    }
    if (mode.kind === "container" && !containers.find(mode.ref).userns) {
      throw bad(`container ${mode.ref} has no user namespace to join: use --userns=host`);
    }
    this.#checkDonors(mode, host, containers);
    return mode;
  }

  /** Who joins a namespace of another container must be in that one's user namespace. */
  #resolve(mode: UsernsMode, donors: readonly Holder[]): UsernsMode {
    if (mode.kind !== "default") return mode;
    const donor = donors.find(({ userns }) => userns !== undefined);
    if (donor) return { kind: "container", ref: donor.id };
    if (this.#defaultMode.kind !== "default") return this.#defaultMode;
    return { kind: this.remap ? "private" : "host" };
  }

  #checkDonors(mode: UsernsMode, host: HostConfig, containers: Holders): void {
    const own = mode.kind === "container" ? rootOf(containers.find(mode.ref)) : NEW;
    for (const donor of donorsOf(host, containers)) {
      if (rootOf(donor) === own) continue;
      const remedy = donor.userns ? `--userns=container:${donor.id.slice(0, 12)}` : "--userns=host";
      throw new GantryError(
        "invalid",
        `cannot join a namespace of container ${donor.id}: it has another user namespace ` +
          `(hint: use ${remedy})`,
      );
    }
  }

  #allocate({ size, uid, gid }: AutoMode, containers: Holders): UsernsRecord {
    const records = [
      ...containers.all(),
      ...[...this.#held.values()].map((userns) => ({ userns })),
    ];
    const taken = (kind: "uid" | "gid") =>
      records.flatMap(({ userns }) => (userns?.taken ? [userns.taken[kind]] : []));
    const one = (kind: "uid" | "gid", given: readonly OciIdMapping[]) => {
      this.#checkGiven(kind, given);
      const count = needed(given, size);
      const range = firstFree(this.#pool[kind], taken(kind), count);
      if (range) return { range, map: mapAround(given, size, range.start) };
      throw this.#exhausted(kind, count, taken(kind).length);
    };
    const [users, groups] = [one("uid", uid), one("gid", gid)];
    return {
      uid: users.map,
      gid: groups.map,
      taken: { uid: users.range, gid: groups.range },
    };
  }

  /** Ids of other containers are nobody's to ask for. */
  #checkGiven(kind: "uid" | "gid", given: readonly OciIdMapping[]): void {
    const others = [...this.#pool[kind], ...hostRanges(this.remap?.maps[kind] ?? [])];
    for (const range of hostRanges(given)) {
      const other = others.find((one) => overlaps(one, range));
      if (!other) continue;
      throw new GantryError(
        "invalid",
        `${kind}mapping: ${range.start} to ${range.start + range.size - 1} are ids of other ` +
          `containers (${other.start}:${other.size})`,
      );
    }
  }

  #exhausted(kind: "uid" | "gid", count: number, users: number): GantryError {
    const free = this.#pool[kind].reduce((sum, range) => sum + range.size, 0);
    return new GantryError(
      "exhausted",
      `no ${count} ${kind}s in a row are free for a user namespace: the pool, ` +
        `${this.#pool.source}, has ${free}, and ${users} containers have theirs of it; remove ` +
        "containers, ask for less (--userns=auto:size=N), or give more with userns-pool in " +
        "daemon.json",
    );
  }
}

const NEW = Symbol("a namespace of its own");

/** The container whose namespace it really is. */
const rootOf = ({ id, userns }: Holder): string | undefined => userns && (userns.joins ?? id);

/** Those whose network, pid or ipc namespace is joined; who is unknown is told of elsewhere. */
function donorsOf(host: HostConfig, containers: Holders): Holder[] {
  return [host.NetworkMode, host.PidMode, host.IpcMode].flatMap((mode) => {
    if (!mode?.startsWith("container:")) return [];
    try {
      return [containers.find(mode.slice("container:".length))];
    } catch {
      return [];
    }
  });
}

/** Reads the host's files. Throws invalid in dockerd's words. */
export async function openUserNamespaces(
  { remap, pool, defaultMode }: UsernsOptions,
  warn: (message: string) => void,
): Promise<UserNamespaces> {
  const mapped = await openRemap(remap, { warn });
  return new UserNamespaces(mapped, await openPool(pool), defaultMode);
}

/** Whether they can be opened: takes and writes nothing. Throws invalid. */
export async function checkUserNamespaces(o: UsernsOptions): Promise<void> {
  const mapped = await openRemap(o.remap, { warn: () => {}, dry: true });
  void new UserNamespaces(mapped, await openPool(o.pool), o.defaultMode);
}
