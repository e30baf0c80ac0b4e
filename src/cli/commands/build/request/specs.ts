// The values of --output, --cache-from, --cache-to, --secret, --ssh, --attest and --annotation as
// buildx reads them: a record of comma-separated fields, with a short form each. Pure.

import { GantryError, parseBool, splitCsv } from "../../../../base/index.ts";

export const invalid = (message: string) => new GantryError("invalid", message);

/** Where a result goes. `dest`: on this side of the connection, "-" for standard output. */
export interface OutputSpec {
  type: string;
  attrs: Record<string, string>;
  dest?: string;
}
export interface CacheSpec {
  type: string;
  attrs: Record<string, string>;
}
export interface SecretSpec {
  id: string;
  path?: string;
  env?: string;
}
export interface SshSpec {
  id: string;
  paths: string[];
}

function fieldsOf(text: string): [string, string | undefined][] {
  return splitCsv(text).map((field) => {
    const equals = field.indexOf("=");
    return equals < 0
      ? [field.trim(), undefined]
      : [field.slice(0, equals).trim().toLowerCase(), field.slice(equals + 1)];
  });
}

/** `type=…,key=value`: the type is "" where none is named. */
function typedOf(fields: ReturnType<typeof fieldsOf>): {
  type: string;
  attrs: Record<string, string>;
} {
  const attrs: Record<string, string> = {};
  let type = "";
  for (const [key, value] of fields) {
    if (value === undefined) throw invalid(`invalid value ${JSON.stringify(key)}`);
    if (key === "type") type = value;
    else attrs[key] = value;
  }
  return { type, attrs };
}

const WITH_FILE = new Set(["local", "tar", "oci", "docker"]);

/** `path`, `-` or `type=…,dest=…`; "registry" is an image that is pushed. */
export function parseOutput(text: string): OutputSpec {
  if (text === "-") return { type: "tar", attrs: {}, dest: "-" };
  const fields = fieldsOf(text);
  if (fields.length === 1 && fields[0]![1] === undefined) {
    if (text === "") throw invalid("output must have a type or a path");
    return { type: "local", attrs: {}, dest: text };
  }
  const { type, attrs } = typedOf(fields);
  if (type === "") throw invalid("type is required for output");
  return outputOf(type, attrs);
}

/** An output of a known type with its attributes; also bake's objects. */
export function outputOf(type: string, given: Readonly<Record<string, string>>): OutputSpec {
  const { dest, ...attrs } = given;
  if (type === "registry") {
    return { type: "image", attrs: { ...attrs, push: attrs["push"] ?? "true" } };
  }
  if (!WITH_FILE.has(type)) {
    if (dest === undefined || (type !== "image" && type !== "cacheonly")) {
      return { type, attrs: { ...given } };
    }
    throw invalid(`output ${type} has no dest`);
  }
  if (type === "local") {
    if (!dest) throw invalid("dest is required for local output");
    if (dest === "-") throw invalid("dest cannot be stdout for local output");
  }
  return { type, attrs, ...(dest === undefined ? {} : { dest }) };
}

/** `user/app:cache` or `type=…,…`. */
export function parseCache(text: string): CacheSpec {
  const fields = fieldsOf(text);
  if (fields.every(([, value]) => value === undefined)) {
    if (fields.length !== 1) throw invalid(`invalid cache entry ${JSON.stringify(text)}`);
    return { type: "registry", attrs: { ref: text } };
  }
  const { type, attrs } = typedOf(fields);
  if (type === "") throw invalid(`type required form> ${JSON.stringify(text)}`);
  return { type, attrs };
}

export function parseSecret(text: string): SecretSpec {
  const spec: SecretSpec = { id: "" };
  let type = "";
  for (const [key, value] of fieldsOf(text)) {
    if (value === undefined) {
      throw invalid(`invalid field '${key}' must be a key=value pair`);
    }
    if (key === "id") spec.id = value;
    else if (key === "type") {
      if (value !== "file" && value !== "env") {
        throw invalid(`unsupported secret type ${JSON.stringify(value)}`);
      }
      type = value;
    } else if (key === "source" || key === "src") spec.path = value;
    else if (key === "env") spec.env = value;
    else throw invalid(`unexpected key '${key}' in '${key}=${value}'`);
  }
  if (type === "env" && spec.env === undefined && spec.path !== undefined) {
    spec.env = spec.path;
    delete spec.path;
  }
  if (spec.id === "") throw invalid("secret missing ID");
  return spec;
}

export function parseSsh(text: string): SshSpec {
  const equals = text.indexOf("=");
  if (equals < 0) return { id: text === "" ? "default" : text, paths: [] };
  const id = text.slice(0, equals);
  if (id === "") throw invalid(`invalid ssh ${JSON.stringify(text)}: the id is missing`);
  return { id, paths: text.slice(equals + 1).split(",") };
}

/** Attestations by type; undefined: switched off. `text` as "type=sbom,generator=image". */
export function addAttestation(all: Map<string, string | undefined>, text: string): void {
  const rest: string[] = [];
  let type = "";
  let disabled = false;
  for (const field of splitCsv(text)) {
    const equals = field.indexOf("=");
    const key = equals < 0 ? field : field.slice(0, equals);
    const value = equals < 0 ? "true" : field.slice(equals + 1);
    if (key === "type") type = value;
    else if (key === "disabled") disabled = parseBool(value);
    else rest.push(field);
  }
  if (type === "") throw invalid("attestation type not specified");
  if (type !== "sbom" && type !== "provenance") {
    throw invalid(`unknown attestation type ${JSON.stringify(type)}`);
  }
  if (all.has(type)) throw invalid(`duplicate attestation field ${type}`);
  all.set(type, disabled ? undefined : rest.join(","));
}

/** --sbom and --provenance: a boolean, or parameters. */
export function attestationShorthand(type: string, text: string): string {
  try {
    return `type=${type},disabled=${!parseBool(text)}`;
  } catch {
    return `type=${type},${text}`;
  }
}

const ANNOTATION = /^(?:([a-z-]+(?:,[a-z-]+)*)(?:\[([A-Za-z0-9_/-]+)\])?:)?([^=\s]+)=(.*)$/s;
const ANNOTATED = ["index", "index-descriptor", "manifest", "manifest-descriptor"];

/** `[type[platform]:]key=value` → attributes of an output. */
export function parseAnnotation(text: string): Record<string, string> {
  const match = ANNOTATION.exec(text);
  if (!match) {
    throw invalid(
      `invalid annotation ${JSON.stringify(text)}: expected key=value or type:key=value`,
    );
  }
  const [, types, platform, key, value] = match;
  if (types === undefined) return { [`annotation.${key}`]: value! };
  const out: Record<string, string> = {};
  for (const type of types.split(",")) {
    if (!ANNOTATED.includes(type)) {
      throw invalid(`unknown annotation type ${JSON.stringify(type)}`);
    }
    if (platform !== undefined && type.startsWith("index")) {
      throw invalid(`annotation of type ${type} cannot have a platform`);
    }
    const where = platform === undefined ? "" : `[${platform}]`;
    out[`annotation-${type}${where}.${key}`] = value!;
  }
  return out;
}

export interface CallSpec {
  /** As the frontend knows it: "lint", "outline", "targets", "subrequests.describe". */
  name: string;
  format: string;
  ignoreStatus: boolean;
}

/** `check`, `outline,format=json`; undefined: an ordinary build. */
export function parseCall(text: string): CallSpec | undefined {
  const call: CallSpec = { name: "", format: "", ignoreStatus: false };
  for (const [key, value] of fieldsOf(text)) {
    if (value === undefined) {
      if (call.name !== "") throw invalid(`invalid value ${JSON.stringify(key)}`);
      call.name = key;
    } else if (key === "format") call.format = value;
    else if (key === "ignorestatus") call.ignoreStatus = parseBool(value);
    else throw invalid(`invalid value ${JSON.stringify(`${key}=${value}`)}`);
  }
  if (call.name === "build" || call.name === "") return undefined;
  if (call.name === "check") call.name = "lint";
  if (call.name === "subrequests" || call.name === "help") call.name = "subrequests.describe";
  if (!["lint", "outline", "targets", "subrequests.describe"].includes(call.name)) {
    throw invalid(
      `unknown call ${JSON.stringify(call.name)}: use build, check, outline, targets or subrequests`,
    );
  }
  if (call.format !== "" && call.format !== "json" && call.format !== "text") {
    throw invalid(`unknown format ${JSON.stringify(call.format)} of a call: use text or json`);
  }
  return call;
}
