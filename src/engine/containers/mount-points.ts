// Binds, Mounts, VOLUMEs and --tmpfs of a create request, parsed into mount records. Pure: what
// exists on the host is looked at by the caller. Grammar and wording are dockerd's.

import { posix } from "node:path";
import { GantryError } from "../../base/index.ts";
import type { HostConfig, MountRequest } from "../../spec/index.ts";
import type { MountRecord } from "./record.ts";

const PROPAGATIONS = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];
const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** "src:dst[:options]" or "dst" of -v. */
export function parseBind(spec: string): MountRecord {
  const parts = spec.split(":");
  if (parts.length > 3 || parts.some((part) => part === "")) {
    throw new GantryError("invalid", `invalid volume specification: '${spec}'`);
  }
  if (parts.length === 1) {
    return {
      ...volume("", checkDestination(parts[0]!, spec), true),
      anonymous: true,
      copyUp: true,
    };
  }
  const [source, target, mode = ""] = parts as [string, string, string?];
  const options = parseMode(mode, spec);
  const type = posix.isAbsolute(source) ? "bind" : "volume";
  const destination = checkDestination(target, spec, type);
  if (type === "bind") {
    if (options.noCopy) {
      throw new GantryError(
        "invalid",
        `invalid volume specification: '${spec}': invalid mount config for type "bind": ` +
          "field VolumeOptions must not be specified",
      );
    }
    return {
      Type: "bind",
      Source: posix.normalize(source).replace(/(.)\/$/, "$1"),
      Destination: destination,
      Mode: mode,
      RW: options.rw,
      Propagation: options.propagation || "rprivate",
      createSource: true,
    };
  }
  if (!VOLUME_NAME.test(source)) {
    throw new GantryError(
      "invalid",
      `create ${source}: ${JSON.stringify(source)} includes invalid characters for a local volume name, only ` +
        '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
    );
  }
  if (options.propagation) {
    throw new GantryError("invalid", `invalid volume specification: '${spec}'`);
  }
  const record = volume(source, destination, options.rw);
  return { ...record, Mode: mode || "z", copyUp: !options.noCopy };
}

interface ModeOptions {
  rw: boolean;
  propagation: string;
  noCopy: boolean;
}

function parseMode(mode: string, spec: string): ModeOptions {
  const result: ModeOptions = { rw: true, propagation: "", noCopy: false };
  const seen = new Set<string>();
  for (const word of mode === "" ? [] : mode.split(",")) {
    const group = PROPAGATIONS.includes(word)
      ? "propagation"
      : { ro: "rw", rw: "rw", z: "label", Z: "label", nocopy: "copy" }[word] ||
        (["consistent", "cached", "delegated"].includes(word) ? "consistency" : undefined);
    if (group === undefined || seen.has(group)) {
      throw new GantryError("invalid", `invalid mode: ${mode}`, { detail: { spec } });
    }
    seen.add(group);
    if (word === "ro") result.rw = false;
    if (word === "nocopy") result.noCopy = true;
    if (group === "propagation") result.propagation = word;
  }
  return result;
}

/** An entry of HostConfig.Mounts. `bindExists` is false where a bind's source is missing. */
export function fromMountRequest(mount: MountRequest, bindExists: boolean): MountRecord {
  const destination = checkTarget(mount);
  const rw = mount.ReadOnly !== true;
  switch (mount.Type) {
    case "bind": {
      const source = mount.Source ?? "";
      if (source === "") throw badMount("bind", "field Source must not be empty");
      if (!posix.isAbsolute(source)) {
        throw badMount("bind", `invalid mount path: '${source}' mount path must be absolute`);
      }
      const create = mount.BindOptions?.CreateMountpoint === true;
      if (!bindExists && !create) {
        throw badMount("bind", `bind source path does not exist: ${source}`);
      }
      const propagation = mount.BindOptions?.Propagation || "rprivate";
      if (!PROPAGATIONS.includes(propagation)) {
        throw badMount("bind", `invalid propagation mode: ${propagation}`);
      }
      const record = { Type: "bind", Source: posix.normalize(source), Destination: destination };
      return {
        ...record,
        Mode: "",
        RW: rw,
        Propagation: propagation,
        createSource: create,
        request: mount,
      };
    }
    case "volume": {
      const name = mount.Source ?? "";
      if (name !== "" && !VOLUME_NAME.test(name)) {
        throw badMount("volume", `invalid volume name: ${name}`);
      }
      if (mount.VolumeOptions?.Subpath) {
        // What is in a volume may be hostile: a subpath must be resolved beneath it, by the kernel.
        throw new GantryError("not-implemented", "volume-subpath is not supported yet");
      }
      return {
        ...volume(name, destination, rw),
        Mode: "z",
        copyUp: mount.VolumeOptions?.NoCopy !== true,
        anonymous: name === "",
        request: mount,
      };
    }
    case "tmpfs":
      if (mount.Source) throw badMount("tmpfs", "field Source must not be specified");
      return {
        Type: "tmpfs",
        Source: "",
        Destination: destination,
        Mode: "",
        RW: rw,
        Propagation: "",
        request: mount,
      };
    default:
      throw badMount(mount.Type, "mount type unknown");
  }
}

/** An anonymous volume for a VOLUME of the image or a bare `-v /path`. */
export function fromVolumePath(path: string): MountRecord {
  const record = volume("", checkDestination(path, path), true);
  return { ...record, anonymous: true, copyUp: true };
}

/** "container[:ro|rw]" of --volumes-from. */
export function parseVolumesFrom(spec: string): { ref: string; rw: boolean | undefined } {
  const [ref, mode, ...rest] = spec.split(":");
  if (!ref || rest.length > 0) {
    throw new GantryError("invalid", `malformed volumes-from specification: ${spec}`);
  }
  if (mode === undefined) return { ref, rw: undefined };
  const words = mode.split(",");
  if (!words.every((word) => ["ro", "rw", "z", "Z"].includes(word))) {
    throw new GantryError("invalid", `invalid mode: ${mode}`);
  }
  return { ref, rw: words.includes("ro") ? false : words.includes("rw") ? true : undefined };
}

/** Adds a record; two mounts at one place are an error unless `replace`. */
export function addMount(
  mounts: Map<string, MountRecord>,
  record: MountRecord,
  host: HostConfig,
): void {
  const taken = mounts.has(record.Destination) || host.Tmpfs?.[record.Destination] !== undefined;
  if (taken) throw new GantryError("invalid", `Duplicate mount point: ${record.Destination}`);
  mounts.set(record.Destination, record);
}

function volume(name: string, destination: string, rw: boolean): MountRecord {
  return {
    Type: "volume",
    Name: name,
    Source: "",
    Destination: destination,
    Driver: "local",
    Mode: "",
    RW: rw,
    Propagation: "",
  };
}

function checkDestination(path: string, spec: string, type = "volume"): string {
  if (!posix.isAbsolute(path)) {
    throw new GantryError(
      "invalid",
      `invalid volume specification: '${spec}': invalid mount config for type "${type}": ` +
        `invalid mount path: '${path}' mount path must be absolute`,
    );
  }
  const clean = posix.normalize(path).replace(/(.)\/$/, "$1");
  if (clean === "/") {
    throw new GantryError(
      "invalid",
      `invalid volume specification: '${spec}': invalid specification: destination can't be '/'`,
    );
  }
  return clean;
}

function checkTarget(mount: MountRequest): string {
  const target = mount.Target ?? "";
  if (target === "") throw badMount(mount.Type, "field Target must not be empty");
  if (!posix.isAbsolute(target)) {
    throw badMount(mount.Type, `invalid mount path: '${target}' mount path must be absolute`);
  }
  const clean = posix.normalize(target).replace(/(.)\/$/, "$1");
  if (clean === "/") {
    throw badMount(mount.Type, "invalid specification: destination can't be '/'");
  }
  return clean;
}

const badMount = (type: string, why: string): GantryError =>
  new GantryError("invalid", `invalid mount config for type "${type}": ${why}`);
