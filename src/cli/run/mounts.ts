// -v, --mount and --tmpfs.

import { resolve } from "node:path";
import { GantryError, parseBool, parseRamBytes, splitCsv } from "../../base/index.ts";
import type { MountRequest } from "../../spec/index.ts";
import { invalid } from "./list-flags.ts";

export interface Volumes {
  binds: string[];
  anonymous: Record<string, object>;
}

/** Sorts -v values into binds (with a source) and anonymous volumes (a path alone). */
export function parseVolumes(specs: readonly string[], cwd: string): Volumes {
  const result: Volumes = { binds: [], anonymous: {} };
  for (const spec of specs) {
    const parts = spec.split(":");
    if (spec === "") throw invalid("invalid empty volume spec");
    if (parts.length === 1) {
      result.anonymous[spec] = {};
      continue;
    }
    if (parts.includes("")) throw invalid(`invalid spec: ${spec}: empty section between colons`);
    // What else is wrong with a longer one, the daemon says.
    const source = parts[0]!;
    // The daemon does not know the caller's folder.
    if (source.startsWith(".")) parts[0] = resolve(cwd, source);
    result.binds.push(parts.join(":"));
  }
  return result;
}

export function parseTmpfs(specs: readonly string[]): Record<string, string> | undefined {
  if (specs.length === 0) return undefined;
  return Object.fromEntries(
    specs.map((spec) => {
      const colon = spec.indexOf(":");
      return colon < 0 ? [spec, ""] : [spec.slice(0, colon), spec.slice(colon + 1)];
    }),
  );
}

type Fields = {
  mount: MountRequest;
  used: { bind: boolean; volume: boolean; image: boolean; tmpfs: boolean };
};
type Setter = (fields: Fields, value: string, key: string) => void;

const flag = (value: string, key: string): boolean => {
  try {
    return parseBool(value);
  } catch (cause) {
    throw new GantryError("invalid", `invalid value for ${key}: ${value}`, { cause });
  }
};
const bind = (fields: Fields) => {
  fields.used.bind = true;
  return (fields.mount.BindOptions ??= {});
};
const volume = (fields: Fields) => {
  fields.used.volume = true;
  return (fields.mount.VolumeOptions ??= { DriverConfig: {} });
};
const image = (fields: Fields) => {
  fields.used.image = true;
  return (fields.mount.ImageOptions ??= {});
};
const tmpfs = (fields: Fields) => {
  fields.used.tmpfs = true;
  return (fields.mount.TmpfsOptions ??= {});
};
const pair = (value: string): [string, string] => {
  const equals = value.indexOf("=");
  return equals < 0 ? [value, ""] : [value.slice(0, equals), value.slice(equals + 1)];
};

const source: Setter = ({ mount }, value) => {
  mount.Source = value;
};
const target: Setter = ({ mount }, value) => {
  mount.Target = value;
};
const readonly: Setter = ({ mount }, value, key) => {
  mount.ReadOnly = flag(value, key);
};

const SETTERS: Record<string, Setter> = {
  type: ({ mount }, value) => {
    mount.Type = value.toLowerCase() as MountRequest["Type"];
  },
  source,
  src: source,
  target,
  dst: target,
  destination: target,
  readonly,
  ro: readonly,
  consistency: ({ mount }, value) => {
    mount.Consistency = value.toLowerCase();
  },
  "bind-propagation": (fields, value) => {
    bind(fields).Propagation = value.toLowerCase();
  },
  /** Deprecated; bind-recursive=disabled says the same. */
  "bind-nonrecursive": (fields, value, key) => {
    bind(fields).NonRecursive = flag(value, key);
  },
  "bind-recursive": (fields, value) => {
    const options = bind(fields);
    if (value === "enabled") return;
    if (value === "disabled") options.NonRecursive = true;
    else if (value === "writable") options.ReadOnlyNonRecursive = true;
    else if (value === "readonly") options.ReadOnlyForceRecursive = true;
    else {
      throw invalid(
        `invalid value for bind-recursive: ${value} (must be "enabled", "disabled", "writable", or "readonly")`,
      );
    }
  },
  "bind-create-src": (fields, value, key) => {
    bind(fields).CreateMountpoint = flag(value, key);
  },
  "bind-idmap": (fields, value) => {
    bind(fields).IdMap = value;
  },
  "volume-idmap": (fields, value) => {
    volume(fields).IdMap = value;
  },
  "volume-subpath": (fields, value) => {
    volume(fields).Subpath = value;
  },
  "volume-nocopy": (fields, value, key) => {
    volume(fields).NoCopy = flag(value, key);
  },
  "volume-label": (fields, value) => {
    const [name, text] = pair(value);
    const options = volume(fields);
    options.Labels = { ...options.Labels, [name]: text };
  },
  "volume-driver": (fields, value) => {
    const options = volume(fields);
    options.DriverConfig = { ...options.DriverConfig, Name: value };
  },
  "volume-opt": (fields, value) => {
    const [name, text] = pair(value);
    const options = volume(fields);
    const driver = (options.DriverConfig ??= {});
    driver.Options = { ...driver.Options, [name]: text };
  },
  "image-subpath": (fields, value) => {
    image(fields).Subpath = value;
  },
  /** Ours alone: docker mounts images read-only. */
  "image-writable": (fields, value, key) => {
    image(fields).Writable = flag(value, key);
  },
  "tmpfs-size": (fields, value, key) => {
    try {
      tmpfs(fields).SizeBytes = parseRamBytes(value);
    } catch {
      throw invalid(`invalid value for ${key}: ${value}`);
    }
  },
  "tmpfs-mode": (fields, value, key) => {
    const mode = /^[0-7]+$/.test(value) ? Number.parseInt(value, 8) : Number.NaN;
    if (!(mode < 2 ** 32)) throw invalid(`invalid value for ${key}: ${value}`);
    tmpfs(fields).Mode = mode;
  },
};

/** A key that may stand alone, meaning true. */
const ALONE = new Set(["readonly", "ro", "volume-nocopy", "bind-nonrecursive", "image-writable"]);

/** One --mount value. */
export function parseMount(value: string): MountRequest {
  if (value === "") throw invalid("EOF");
  const mount: MountRequest = { Type: "volume", Target: "" };
  const fields: Fields = {
    mount,
    used: { bind: false, volume: false, image: false, tmpfs: false },
  };
  for (const field of splitCsv(value)) {
    const equals = field.indexOf("=");
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase();
    if (equals < 0 && !ALONE.has(key)) {
      throw invalid(`invalid field '${field}' must be a key=value pair`);
    }
    const setter = Object.hasOwn(SETTERS, key) ? SETTERS[key] : undefined;
    if (!setter) throw invalid(`unexpected key '${key}' in '${field}'`);
    setter(fields, equals < 0 ? "true" : field.slice(equals + 1), key);
  }
  checkMount(fields);
  return mount;
}

/** The daemon does not know the caller's folder. */
export function resolveMounts(mounts: readonly MountRequest[], cwd: string): MountRequest[] {
  return mounts.map((mount) =>
    mount.Type !== "image" && mount.Source?.startsWith(".")
      ? { ...mount, Source: resolve(cwd, mount.Source) }
      : mount,
  );
}

function checkMount({ mount, used }: Fields): void {
  if ((mount.Type as string) === "") throw invalid("type is required");
  if (mount.Target === "") throw invalid("target is required");
  if (used.volume && mount.Type !== "volume") {
    throw invalid(`cannot mix 'volume-*' options with mount type '${mount.Type}'`);
  }
  if (used.bind && mount.Type !== "bind") {
    throw invalid(`cannot mix 'bind-*' options with mount type '${mount.Type}'`);
  }
  if (used.tmpfs && mount.Type !== "tmpfs") {
    throw invalid(`cannot mix 'tmpfs-*' options with mount type '${mount.Type}'`);
  }
  if (used.image && mount.Type !== "image") {
    throw invalid(`cannot mix 'image-*' options with mount type '${mount.Type}'`);
  }
  const options = mount.BindOptions;
  if (options?.ReadOnlyNonRecursive && !mount.ReadOnly) {
    throw invalid(
      "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
    );
  }
  if (options?.ReadOnlyForceRecursive && !mount.ReadOnly) {
    throw invalid(
      "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction",
    );
  }
  if (options?.ReadOnlyForceRecursive && options.Propagation !== "rprivate") {
    throw invalid(
      "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
    );
  }
}
