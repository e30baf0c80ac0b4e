// Sizes, times and names as the page shows them, and careful readings of JSON that anybody may have
// pushed: what has not the expected type is as if it were not there.

export type Json = Record<string, unknown>;

export function record(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Json)
    : {};
}

export function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function count(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
}

/** String values of an object, sorted by key. */
export function pairs(value: unknown): [string, string][] {
  return Object.entries(record(value))
    .map(([key, item]): [string, string] => [key, typeof item === "string" ? item : shown(item)])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

function shown(value: unknown): string {
  return JSON.stringify(value) ?? "";
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Bytes as docker prints them: three digits, powers of 1000. */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : Number(value.toPrecision(3))} ${UNITS[unit]}`;
}

export function shortDigest(digest: string): string {
  const colon = digest.indexOf(":");
  return colon < 0 ? digest.slice(0, 19) : digest.slice(0, colon + 13);
}

/** "2024-05-01 12:00 UTC"; what is no time is shown as it is. */
export function time(value: unknown): string {
  const written = text(value);
  const date = new Date(written);
  if (written === "" || Number.isNaN(date.getTime())) return written;
  return `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** "linux/arm64/v8" */
export function platform(value: unknown): string {
  const { os, architecture, variant } = record(value);
  const version = text(record(value)["os.version"]);
  const name = [os, architecture, variant].map(text).filter((part) => part !== "");
  return name.join("/") + (version === "" ? "" : ` (${version})`);
}

/** A command line as one would type it. */
export function commandLine(value: unknown): string {
  return list(value)
    .map((word) => text(word))
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word)))
    .join(" ");
}

export interface LayerRow {
  /** Absent for a step that made no layer. */
  layer?: Json;
  history?: Json;
}

/** Puts each layer beside the step that made it; image-spec: an empty_layer has none. */
export function layersWithHistory(layers: unknown, history: unknown): LayerRow[] {
  const left = list(layers).map(record);
  const rows: LayerRow[] = [];
  for (const step of list(history).map(record)) {
    const layer = step["empty_layer"] === true ? undefined : left.shift();
    rows.push(layer === undefined ? { history: step } : { layer, history: step });
  }
  return [...rows, ...left.map((layer) => ({ layer }))];
}

/** "RUN apt-get update" from what the classic builder and BuildKit write. */
export function instruction(createdBy: unknown): string {
  return text(createdBy)
    .replace(/^\/bin\/sh -c #\(nop\)\s*/, "")
    .replace(/^\/bin\/sh -c /, "RUN ")
    .replace(/^RUN \/bin\/sh -c /, "RUN ")
    .trim();
}

export type Kind = "index" | "image" | "artifact";

export function kindOf(manifest: Json): Kind {
  if (Array.isArray(manifest["manifests"])) return "index";
  const config = text(record(manifest["config"])["mediaType"]);
  const isImage =
    config === "application/vnd.oci.image.config.v1+json" ||
    config === "application/vnd.docker.container.image.v1+json";
  return isImage && text(manifest["artifactType"]) === "" ? "image" : "artifact";
}

/** What a pull moves: config and layers; of an index, what its entries are themselves. */
export function contentSize(manifest: Json): number {
  const parts = [manifest["config"], ...list(manifest["layers"]), ...list(manifest["manifests"])];
  return parts.reduce<number>((sum, part) => sum + count(record(part)["size"]), 0);
}
