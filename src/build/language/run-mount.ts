// `RUN --mount=…`: fields of every type, with the builder's rules on which fit together. A mount is
// read twice: when the file is parsed, as far as it holds no variables, and when its stage is
// evaluated.

import { parseRamBytes, splitCsv } from "../../base/index.ts";
import { LineFault, TextFault } from "./dockerfile-error.ts";
import { readBool } from "./flag-rules.ts";
import { didYouMean } from "./suggest.ts";

interface Owner {
  /** Octal permission bits as a number; undefined: the type's default. */
  mode?: number;
  uid?: number;
  gid?: number;
}
export interface BindMount {
  type: "bind";
  target: string;
  /** Path in `from`, "" for its root. */
  source: string;
  /** Stage, named context or image; undefined: the build context. */
  from?: string;
  readOnly: boolean;
}
export interface CacheMount extends Owner {
  type: "cache";
  target: string;
  /** Undefined: the cleaned target names the cache. */
  id?: string;
  source: string;
  from?: string;
  readOnly: boolean;
  sharing: "shared" | "private" | "locked";
}
export interface TmpfsMount {
  type: "tmpfs";
  target: string;
  sizeBytes?: number;
  readOnly: boolean;
}
export interface SecretMount extends Owner {
  type: "secret";
  id: string;
  /** Undefined with `env`: only the variable is set. */
  target?: string;
  env?: string;
  required: boolean;
}
export interface SshMount extends Owner {
  type: "ssh";
  id: string;
  /** Undefined: /run/buildkit/ssh_agent.N. */
  target?: string;
  required: boolean;
}
export type RunMount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount;

const TYPES = ["bind", "cache", "tmpfs", "secret", "ssh"] as const;
const SHARING = ["shared", "private", "locked"] as const;
const KEYS = [
  ..."type from source src target dst destination readonly ro readwrite rw id sharing".split(" "),
  ..."required mode uid gid size env".split(" "),
];

interface Fields extends Owner {
  type: (typeof TYPES)[number];
  from?: string;
  source?: string;
  target?: string;
  id?: string;
  env?: string;
  readOnly?: boolean;
  required?: boolean;
  sharing?: (typeof SHARING)[number];
  sizeBytes?: number;
}

/** True when the text may hold variables, so that it cannot be judged before they are known. */
export function hasVariables(text: string): boolean {
  return text.includes("$");
}

/** Refuses what is wrong whatever the variables are. */
export function checkMount(text: string): void {
  for (const field of fieldsOf(text)) {
    const [key, value] = keyAndValue(field);
    if (key === "from" && value !== undefined && /\$./.test(value)) {
      const message = "'from' doesn't support variable expansion, define alias stage instead";
      throw new TextFault(message, 0, 0, "write FROM $image AS name, and from=name here");
    }
  }
  if (hasVariables(text)) return;
  try {
    parseMount(text, (word) => word);
  } catch (error) {
    if (!(error instanceof TextFault)) throw error;
    throw new LineFault(error.message, error.offset, error.length, error.remedy);
  }
}

/** Reads the value of one --mount. Throws a TextFault. */
export function parseMount(text: string, expand: (word: string) => string): RunMount {
  const fields: Fields = { type: "bind" };
  for (const field of fieldsOf(text)) {
    const [key, written] = keyAndValue(field);
    if (written === undefined) takeBare(fields, key, field);
    else takeField(fields, key, key === "from" ? written : expand(written), field);
  }
  return finish(fields);
}

function fieldsOf(text: string): string[] {
  try {
    return splitCsv(text);
  } catch (cause) {
    throw new TextFault(`failed to parse csv mounts: ${(cause as Error).message}`);
  }
}

function keyAndValue(field: string): [key: string, value: string | undefined] {
  const equals = field.indexOf("=");
  if (equals < 0) return [field.toLowerCase(), undefined];
  return [field.slice(0, equals).toLowerCase(), field.slice(equals + 1)];
}

function takeBare(fields: Fields, key: string, field: string): void {
  if (key === "readonly" || key === "ro") fields.readOnly = true;
  else if (key === "readwrite" || key === "rw") fields.readOnly = false;
  else if (key === "required") setRequired(fields, true);
  else throw new TextFault(`invalid field '${field}' must be a key=value pair`);
}

function setRequired(fields: Fields, value: boolean): void {
  if (fields.type !== "secret" && fields.type !== "ssh") throw unexpectedFor("required", fields);
  fields.required = value;
}

function unexpectedFor(key: string, fields: Fields): TextFault {
  const known = `unexpected key '${key}' for mount type '${fields.type}'`;
  return new TextFault(known, 0, 0, "type= comes first in a mount");
}

function takeField(fields: Fields, key: string, value: string, field: string): void {
  switch (key) {
    case "type":
      fields.type = oneOf(TYPES, value, "unsupported mount type");
      return;
    case "from":
      fields.from = value;
      return;
    case "source":
    case "src":
      fields.source = value;
      return;
    case "target":
    case "dst":
    case "destination":
      fields.target = value;
      return;
    case "id":
      fields.id = value;
      return;
    case "readonly":
    case "ro":
      fields.readOnly = bool(key, value);
      return;
    case "readwrite":
    case "rw":
      fields.readOnly = !bool(key, value);
      return;
    case "required":
      setRequired(fields, bool(key, value));
      return;
    case "sharing":
      fields.sharing = oneOf(SHARING, value, "unsupported sharing value");
      return;
    case "mode":
      fields.mode = number(key, value, /^[0-7]{1,11}$/, 8);
      return;
    case "uid":
    case "gid":
      fields[key] = number(key, value, /^\d{1,10}$/, 10);
      return;
    case "size":
      if (fields.type !== "tmpfs") throw unexpectedFor(key, fields);
      fields.sizeBytes = sizeOf(value);
      return;
    case "env":
      if (fields.type !== "secret") throw unexpectedFor(key, fields);
      fields.env = value;
      return;
    default:
      throw new TextFault(`unexpected key '${key}' in '${field}'${didYouMean(key, KEYS)}`);
  }
}

function oneOf<T extends string>(options: readonly T[], value: string, message: string): T {
  const found = options.find((option) => option === value.toLowerCase());
  if (found !== undefined) return found;
  const remedy = `use one of ${options.join(", ")}`;
  const text = `${message} ${JSON.stringify(value)}${didYouMean(value, options)}`;
  throw new TextFault(text, 0, 0, remedy);
}

function bool(key: string, value: string): boolean {
  const found = readBool(value);
  if (found === undefined) throw new TextFault(`invalid value for ${key}: ${value}`);
  return found;
}

function number(key: string, value: string, pattern: RegExp, base: number): number {
  const found = pattern.test(value) ? Number.parseInt(value, base) : Number.NaN;
  if (!(found <= 0xffff_ffff)) throw new TextFault(`invalid value ${value} for ${key}`);
  return found;
}

function sizeOf(value: string): number {
  try {
    return parseRamBytes(value);
  } catch {
    throw new TextFault(`invalid value for size: ${value}`);
  }
}

function finish(fields: Fields): RunMount {
  const { type } = fields;
  if (type === "bind" || type === "tmpfs") {
    for (const key of ["mode", "uid", "gid"] as const) {
      if (fields[key] !== undefined) {
        throw new TextFault(`${key} not allowed for ${JSON.stringify(type)} type mounts`);
      }
    }
  }
  if (fields.sharing !== undefined && type === "secret") {
    throw new TextFault("secret mount should not define sharing");
  }
  if (fields.sharing !== undefined && type !== "cache") {
    throw new TextFault(`invalid cache sharing set for ${type} mount`);
  }
  if (type === "secret") return secretMount(fields);
  const owner = ownerOf(fields);
  const target = fields.target ?? "";
  if (type === "ssh") {
    return {
      type,
      id: fields.id || "default",
      ...(target === "" ? {} : { target }),
      required: fields.required ?? false,
      ...owner,
    };
  }
  if (target === "") {
    const remedy = `add target=/path to the ${type} mount`;
    throw new TextFault("mount target is required", 0, 0, remedy);
  }
  const from = fields.from ? { from: fields.from } : {};
  const source = fields.source ?? "";
  if (type === "bind") {
    return { type, target, source, ...from, readOnly: fields.readOnly ?? true };
  }
  if (type === "tmpfs") {
    const size = fields.sizeBytes === undefined ? {} : { sizeBytes: fields.sizeBytes };
    return { type, target, ...size, readOnly: fields.readOnly ?? false };
  }
  return {
    type,
    target,
    ...(fields.id ? { id: fields.id } : {}),
    source,
    ...from,
    readOnly: fields.readOnly ?? false,
    sharing: fields.sharing ?? "shared",
    ...owner,
  };
}

function ownerOf({ mode, uid, gid }: Owner): Owner {
  return {
    ...(mode === undefined ? {} : { mode }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  };
}

function secretMount(fields: Fields): SecretMount {
  const { id, source, target, env } = fields;
  if (fields.from) throw new TextFault("secret mount should not have a from");
  if (id && source) throw new TextFault("both source and id can't be set");
  const name = id || source || target?.split("/").filter(Boolean).at(-1);
  if (!name) throw new TextFault("invalid secret mount. one of source, target required");
  const path = target || (env ? undefined : `/run/secrets/${name.split("/").at(-1)}`);
  return {
    type: "secret",
    id: name,
    ...(path === undefined ? {} : { target: path }),
    ...(env ? { env } : {}),
    required: fields.required ?? false,
    ...ownerOf(fields),
  };
}
