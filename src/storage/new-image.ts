// Config documents for images made here (import, commit): the members, and their order, that
// docker writes, so that the same content has the same shape. The id is the digest of these bytes.

import type { ContainerConfig, ImageConfigDocument, ImageHistory } from "../spec/index.ts";

/** Docker's zero ContainerConfig: what it writes for fields that nobody set. */
const BLANK: ContainerConfig = {
  Hostname: "",
  Domainname: "",
  User: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: null,
  Cmd: null,
  Image: "",
  Volumes: null,
  WorkingDir: "",
  Entrypoint: null,
  OnBuild: null,
  Labels: null,
};
const FIELD_ORDER: readonly (keyof ContainerConfig)[] = [
  "Hostname",
  "Domainname",
  "User",
  "AttachStdin",
  "AttachStdout",
  "AttachStderr",
  "ExposedPorts",
  "Tty",
  "OpenStdin",
  "StdinOnce",
  "Env",
  "Cmd",
  "Healthcheck",
  "ArgsEscaped",
  "Image",
  "Volumes",
  "WorkingDir",
  "Entrypoint",
  "NetworkDisabled",
  "MacAddress",
  "OnBuild",
  "Labels",
  "StopSignal",
  "StopTimeout",
  "Shell",
];

/** `config` with docker's fields in docker's order; absent ones as docker writes them. */
export function canonicalConfig(config: ContainerConfig): ContainerConfig {
  const all: Record<string, unknown> = { ...BLANK, ...config };
  const ordered = FIELD_ORDER.filter(
    (name) => all[name] !== undefined && !omitted(name, all[name]),
  );
  return Object.fromEntries(ordered.map((name) => [name, all[name]])) as ContainerConfig;
}

/** Fields that docker leaves out when they are empty, rather than writing null. */
function omitted(name: keyof ContainerConfig, value: unknown): boolean {
  if (name in BLANK) return false;
  if (value === null || value === "" || value === false || value === 0) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

export interface NewImage {
  architecture: string;
  os: string;
  variant?: string;
  created: Date;
  author?: string;
  comment?: string;
  config: ContainerConfig;
  diffIds: readonly string[];
  history: readonly ImageHistory[];
  container?: string;
  containerConfig?: ContainerConfig;
  dockerVersion?: string;
}

/** The raw config document: top-level members sorted by name, as docker marshals images. */
export function encodeImageConfig(image: NewImage): Uint8Array {
  const document: ImageConfigDocument = {
    architecture: image.architecture,
    ...(image.author ? { author: image.author } : {}),
    ...(image.comment ? { comment: image.comment } : {}),
    config: canonicalConfig(image.config),
    ...(image.container ? { container: image.container } : {}),
    ...(image.containerConfig ? { container_config: canonicalConfig(image.containerConfig) } : {}),
    created: image.created.toISOString(),
    ...(image.dockerVersion ? { docker_version: image.dockerVersion } : {}),
    history: image.history.map(orderHistory),
    os: image.os,
    rootfs: { type: "layers", diff_ids: [...image.diffIds] },
    ...(image.variant ? { variant: image.variant } : {}),
  };
  return new TextEncoder().encode(goJson(document));
}

function orderHistory(entry: ImageHistory): ImageHistory {
  return {
    ...(entry.created ? { created: entry.created } : {}),
    ...(entry.author ? { author: entry.author } : {}),
    ...(entry.created_by ? { created_by: entry.created_by } : {}),
    ...(entry.comment ? { comment: entry.comment } : {}),
    ...(entry.empty_layer ? { empty_layer: true } : {}),
  };
}

/** JSON as Go's encoder writes it: <, >, & and the two line separators escaped, maps sorted. */
function goJson(value: unknown): string {
  return JSON.stringify(value, sortMaps).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

const MAPS = new Set(["ExposedPorts", "Volumes", "Labels"]);
function sortMaps(key: string, value: unknown): unknown {
  if (!MAPS.has(key) || value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
