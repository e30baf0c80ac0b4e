// Binds, Mounts, VOLUMEs and --tmpfs of a create request, parsed into mount records. Pure: what
// exists on the host is looked at by the caller. Grammar and wording are dockerd's.

import { posix } from "node:path";
import { GantryError, withAdvice } from "../../base/index.ts";
import type { HostConfig, MountRequest } from "../../spec/index.ts";
import { checkVolumeName } from "../volumes/volume-name.ts";
import type { MountRecord } from "./record.ts";

const PROPAGATIONS = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];
const CONSISTENCIES = ["consistent", "cached", "delegated"];
/** "idmap" or "idmap=UID[:GID]": whose the files are in the container. Docker's own client counts
 * colons, so a dot will do too, as in chown(1). */
export const NO_MAP = "none";
const IDMAP = /^idmap(?:=(\d{1,10}(?:[:.]\d{1,10})?))?$/;
const ID_MAX = 2 ** 32 - 2;

/** "src:dst[:options]" or "dst" of -v. */
export function parseBind(spec: string): MountRecord {
  const parts = splitBind(spec);
  if (parts.length > 3 || parts.some((part) => part === "")) throw badSpec(spec);
  if (parts.length === 1) {
    return {
      ...volume("", checkDestination(parts[0]!, spec), true),
      anonymous: true,
      copyUp: true,
    };
  }
  const [source, target, mode = ""] = parts as [string, string, string?];
  const options = parseMode(mode);
  const type = posix.isAbsolute(source) ? "bind" : "volume";
  const destination = checkDestination(target, spec, type);
  const idmap = options.idmap !== undefined && { idmap: options.idmap };
  if (type === "bind") {
    if (options.noCopy) throw badSpec(spec, extraField("bind", "VolumeOptions"));
    return {
      Type: "bind",
      Source: clean(source),
      Destination: destination,
      Mode: mode,
      RW: options.rw,
      Propagation: options.propagation || "rprivate",
      createSource: true,
      ...(options.propagation !== "" && { propagationAsked: true }),
      ...idmap,
    };
  }
  checkVolumeName(source);
  if (options.propagation) throw badSpec(spec, extraField("volume", "BindOptions"));
  const record = volume(source, destination, options.rw);
  return { ...record, Mode: mode || "z", copyUp: !options.noCopy, ...idmap };
}

/** The colon of "idmap=1000:1000" parts nothing. */
function splitBind(spec: string): string[] {
  const parts = spec.split(":");
  const last = parts.length === 4 && /(^|,)idmap=\d+$/.test(parts[2]!) && /^\d/.test(parts[3]!);
  return last ? [parts[0]!, parts[1]!, `${parts[2]}:${parts[3]}`] : parts;
}

interface ModeOptions {
  rw: boolean;
  propagation: string;
  noCopy: boolean;
  idmap: string | undefined;
}

function parseMode(mode: string): ModeOptions {
  const result: ModeOptions = { rw: true, propagation: "", noCopy: false, idmap: undefined };
  const seen = new Set<string>();
  for (const word of mode === "" ? [] : mode.split(",")) {
    const group = groupOf(word);
    if (group === undefined || seen.has(group)) {
      throw new GantryError("invalid", `invalid mode: ${mode}`);
    }
    seen.add(group);
    if (word === "ro") result.rw = false;
    if (word === "nocopy") result.noCopy = true;
    if (group === "propagation") result.propagation = word;
    if (group === "idmap") result.idmap = parseIdmap(word) ?? "";
  }
  return result;
}

/** Words of one group exclude one another. */
function groupOf(word: string): string | undefined {
  if (word === "ro" || word === "rw") return "rw";
  if (word === "z" || word === "Z") return "label";
  if (word === "nocopy") return "copy";
  if (PROPAGATIONS.includes(word)) return "propagation";
  if (CONSISTENCIES.includes(word)) return "consistency";
  if (word === "idmap" || parseIdmap(word) !== undefined) return "idmap";
  return undefined;
}

/** "UID:GID" of "idmap=…", where both are ids. */
function parseIdmap(word: string): string | undefined {
  if (word === `idmap=${NO_MAP}`) return NO_MAP;
  const ids = IDMAP.exec(word)?.[1]?.split(/[:.]/);
  return ids?.every((id) => Number(id) <= ID_MAX) ? ids.join(":") : undefined;
}

/** An entry of HostConfig.Mounts. `bindExists` is false where a bind's source is missing. */
export function fromMountRequest(mount: MountRequest, bindExists: boolean): MountRecord {
  const destination = checkTarget(mount);
  switch (mount.Type) {
    case "bind":
      return { ...bindOf(mount, bindExists), Destination: destination };
    case "volume":
      return { ...volumeOf(mount), Destination: destination };
    case "tmpfs": {
      refuseFields(mount, "BindOptions", "VolumeOptions", "ImageOptions", "Source");
      checkTmpfsMount(mount);
      const record = { Type: "tmpfs", Source: "", Destination: destination, Mode: "" };
      return { ...record, RW: mount.ReadOnly !== true, Propagation: "", request: mount };
    }
    case "image": {
      refuseFields(mount, "BindOptions", "VolumeOptions", "TmpfsOptions");
      if (!mount.Source) throw badMount("image", "field Source must not be empty");
      const { Subpath: subpath, Writable: writable = false } = mount.ImageOptions ?? {};
      checkSubpath("image", subpath);
      if (writable && mount.ReadOnly) throw badMount("image", "must not be ReadOnly and Writable");
      const record = { Type: "image", Source: mount.Source, Destination: destination, Mode: "" };
      return { ...record, RW: writable, Propagation: "rprivate", request: mount };
    }
    default:
      throw badMount(mount.Type, "mount type unknown");
  }
}

function bindOf(mount: MountRequest, exists: boolean): MountRecord {
  const { Source: source = "", BindOptions: options = {} } = mount;
  if (source === "") throw badMount("bind", "field Source must not be empty");
  const propagation = options.Propagation || "rprivate";
  if (!PROPAGATIONS.includes(propagation)) {
    throw badMount("bind", `invalid propagation mode: ${propagation}`);
  }
  refuseFields(mount, "VolumeOptions", "ImageOptions", "TmpfsOptions");
  if (!posix.isAbsolute(source)) {
    throw badMount("bind", `invalid mount path: '${source}' mount path must be absolute`);
  }
  const create = options.CreateMountpoint === true;
  if (!exists && !create) {
    throw withAdvice(badMount("bind", `bind source path does not exist: ${source}`), {
      cause: `the daemon's host has nothing at ${source}, and --mount makes no folder`,
      remedy: [`mkdir -p ${source}, or use -v, which makes it, or bind-create-src in --mount`],
    });
  }
  return {
    Type: "bind",
    Source: clean(source),
    Destination: "",
    Mode: "",
    RW: mount.ReadOnly !== true,
    Propagation: propagation,
    createSource: create,
    request: mount,
    ...(options.Propagation && { propagationAsked: true }),
    ...idmapOf("bind", options.IdMap),
  };
}

function volumeOf(mount: MountRequest): MountRecord {
  const { Source: name = "", VolumeOptions: options = {} } = mount;
  refuseFields(mount, "BindOptions", "ImageOptions", "TmpfsOptions");
  if (name === "" && mount.ReadOnly) {
    throw badMount("volume", "must not set ReadOnly mode when using anonymous volumes");
  }
  if (name === "" && options.Subpath) {
    throw badMount("volume", "must not set Subpath when using anonymous volumes");
  }
  if (name !== "") checkVolumeName(name);
  checkSubpath("volume", options.Subpath);
  return {
    ...volume(name, "", mount.ReadOnly !== true),
    Mode: "z",
    copyUp: options.NoCopy !== true,
    anonymous: name === "",
    request: mount,
    ...idmapOf("volume", options.IdMap),
  };
}

function idmapOf(type: string, text: string | undefined): { idmap?: string } {
  if (!text) return {};
  const parsed = text === "user" ? "" : parseIdmap(`idmap=${text}`);
  if (parsed === undefined) {
    throw badMount(
      type,
      `invalid idmap ${JSON.stringify(text)}: must be UID[:GID], "user" or "none"`,
    );
  }
  return { idmap: parsed };
}

/** Of a volume or an image: relative, and not out of it. */
function checkSubpath(type: string, subpath: string | undefined): void {
  if (!subpath) return;
  const path = posix.normalize(subpath);
  if (!posix.isAbsolute(subpath) && path !== ".." && !path.startsWith("../")) return;
  throw badMount(type, "subpath must be a relative path within the volume");
}

const TMPFS_WORDS = ["exec", "noexec"];

function checkTmpfsMount({ TmpfsOptions: options }: MountRequest): void {
  if ((options?.SizeBytes ?? 0) < 0) {
    throw badMount("tmpfs", "invalid option: size must not be negative");
  }
  for (const option of options?.Options ?? []) {
    if (option.length < 1 || option.length > 2) {
      throw badMount("tmpfs", "invalid option array length");
    }
    if (TMPFS_WORDS.includes(option[0]!) && option.length === 1) continue;
    throw badMount("tmpfs", `invalid option: ${option[0]}`);
  }
}

type Field = "Source" | "BindOptions" | "VolumeOptions" | "TmpfsOptions" | "ImageOptions";

function refuseFields(mount: MountRequest, ...fields: Field[]): void {
  for (const field of fields) if (mount[field]) throw extraField(mount.Type, field);
}

const extraField = (type: string, field: string): GantryError =>
  badMount(type, `field ${field} must not be specified`);

/** An anonymous volume for a VOLUME of the image or a bare `-v /path`. */
export function fromVolumePath(path: string): MountRecord {
  const record = volume("", checkDestination(path, path), true);
  return { ...record, anonymous: true, copyUp: true };
}

/** "container[:mode]" of --volumes-from. `rw` is false where the mode takes writing away. */
export function parseVolumesFrom(spec: string): { ref: string; rw: boolean } {
  if (spec === "") {
    throw new GantryError("invalid", "volumes-from specification cannot be an empty string");
  }
  const colon = spec.indexOf(":");
  const ref = colon < 0 ? spec : spec.slice(0, colon);
  const mode = colon < 0 ? "rw" : spec.slice(colon + 1) || "rw";
  const { rw, propagation, noCopy, idmap } = parseMode(mode);
  // They stay what they are in the other container.
  if (propagation !== "" || noCopy || idmap !== undefined) {
    throw new GantryError("invalid", `invalid mode: ${mode}`);
  }
  if (ref === "") throw new GantryError("invalid", 'invalid name or ID supplied: ""');
  return { ref, rw };
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
    const why = `invalid mount path: '${path}' mount path must be absolute`;
    throw badSpec(spec, badMount(type, why));
  }
  const destination = clean(path);
  if (destination !== "/") return destination;
  throw badSpec(spec, badMount(type, "invalid specification: destination can't be '/'"));
}

function checkTarget(mount: MountRequest): string {
  const target = mount.Target ?? "";
  if (target === "") throw badMount(mount.Type, "field Target must not be empty");
  if (!posix.isAbsolute(target)) {
    throw badMount(mount.Type, `invalid mount path: '${target}' mount path must be absolute`);
  }
  const destination = clean(target);
  if (destination !== "/") return destination;
  throw badMount(mount.Type, "invalid specification: destination can't be '/'");
}

const clean = (path: string): string => posix.normalize(path).replace(/(.)\/$/, "$1");

const badMount = (type: string, why: string): GantryError =>
  new GantryError("invalid", `invalid mount config for type "${type}": ${why}`);

function badSpec(spec: string, why?: GantryError): GantryError {
  const message = `invalid volume specification: '${spec}'`;
  return new GantryError("invalid", why ? `${message}: ${why.message}` : message);
}
