// Makes two runs of a script comparable: whatever differs from run to run (ids, times, sizes,
// process ids, addresses of hardware, folders) becomes a placeholder. The ids of one script are
// numbered in the order in which they appear, so that the same one stays the same one.

import type { Flag } from "./script.ts";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const ZERO_TIME = "0001-01-01T00:00:00Z";
/** Fields whose value says nothing beyond that it is there. */
const VOLATILE = new Set([
  ...["Pid", "SandboxID", "SandboxKey", "EndpointID", "NetworkID", "MacAddress", "DNSNames"],
  ...["ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "Mountpoint", "SystemTime"],
  ...["LayersSize", "VirtualSize", "SizeRootFs", "Size", "SizeRw", "SharedSize", "Layers"],
  ...[
    "Created",
    "CreatedAt",
    "Started",
    "time",
    "timeNano",
    "read",
    "preread",
    "NFd",
    "UniqueSize",
  ],
  ...["NGoroutines", "NEventsListener", "KernelVersion", "MemTotal", "NCPU", "SpaceReclaimed"],
  ...["OperatingSystem", "OSVersion", "LastTagTime", "Start", "End", "execDuration"],
  ...["LowerDir", "MergedDir", "UpperDir", "WorkDir"],
]);

export type Places = {
  /** Paths of this run and what they are called. */
  paths: [string, string][];
};

export class Normaliser {
  #ids: string[] = [];
  #paths: [string, string][];
  /** What the script itself says is its own, and stays. */
  #own: string;

  constructor({ paths }: Places, own: string) {
    this.#paths = paths.toSorted(([a], [b]) => b.length - a.length);
    this.#own = own;
  }

  text(text: string, flags: ReadonlySet<Flag>): string[] {
    const lines = text.replaceAll("\r\n", "\n").split("\n");
    while (lines.at(-1) === "") lines.pop();
    const done = lines.map((line) => {
      const plain = this.#words(line.replaceAll(/(?<=\S) {2,}/g, "  ").trimEnd());
      return flags.has("shape") ? plain.replaceAll(/\d+(\.\d+)?/g, "N") : plain;
    });
    return flags.has("sort") ? done.sort() : done;
  }

  json(value: Json, flags: ReadonlySet<Flag>, key = ""): Json {
    if (Array.isArray(value)) {
      const list = value.map((one) => this.json(one, flags, key));
      if (flags.has("keys") && list.length > 0) return [list[0]!];
      if (!flags.has("sort")) return list;
      return list.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    }
    if (value !== null && typeof value === "object") {
      const keys = Object.keys(value).sort();
      const entries = keys.map((name) => [
        this.#words(name),
        this.json((value as { [key: string]: Json })[name]!, flags, name),
      ]);
      return Object.fromEntries(entries) as Json;
    }
    return this.#scalar(value, flags, key);
  }

  #scalar(value: null | boolean | number | string, flags: ReadonlySet<Flag>, key: string): Json {
    const empty = value === "" || value === 0 || value === ZERO_TIME;
    if (value === null) return null;
    if (flags.has("keys")) return typeof value;
    if (empty && key !== "execDuration") return value;
    const own = typeof value === "string" && value !== "" && this.#own.includes(value);
    if (VOLATILE.has(key) && !own) return `<${key}>`;
    if (key === "PublicPort" || key === "HostPort") return this.#port(value);
    return typeof value === "string" ? this.#words(value) : value;
  }

  #port(value: boolean | number | string): Json {
    return Number(value) >= 32768 ? "<port>" : value;
  }

  /** Without spaces around the placeholder's own, so that columns do not matter. */
  #words(line: string): string {
    let out = line;
    for (const [path, name] of this.#paths) out = out.replaceAll(path, name);
    out = out
      .replaceAll(/\b[0-9a-f]{64}\b/g, (id) => this.#id(id, ""))
      .replaceAll(/\b[0-9a-f]{12}\b/g, (id) => this.#id(id, ":12"))
      .replaceAll(
        /\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[ +-][\d:+-]*( [A-Z]{3})?)/g,
        (time) => (time.startsWith("0001") ? time : "<time>"),
      )
      .replaceAll(/\b(?:(?:[0-9a-f]{2}):){5}[0-9a-f]{2}\b/g, (mac) => this.#unlessOwn(mac, "<mac>"))
      .replaceAll(
        /(Less than a second|About an? \w+|\b\d+ (second|minute|hour)s?)\b/g,
        "<duration>",
      )
      .replaceAll(/\b\d+(\.\d+)?\s?([kMGT]B|[KMGT]iB|B)\b/g, (size) =>
        size.startsWith("0B") ? size : this.#unlessOwn(size, "<size>"),
      )
      .replaceAll(/(?<=:)(3[3-9]\d{3}|32[89]\d\d|3277\d|32769|[45]\d{4}|6[0-5]\d{3})\b/g, (port) =>
        this.#unlessOwn(port, "<port>"),
      );
    return out;
  }

  #unlessOwn(text: string, placeholder: string): string {
    return this.#own.includes(text) ? text : placeholder;
  }

  #id(id: string, form: string): string {
    if (this.#own.includes(id)) return id;
    const short = id.slice(0, 12);
    let at = this.#ids.indexOf(short);
    if (at < 0) at = this.#ids.push(short) - 1;
    return `<id${at + 1}${form}>`;
  }
}

/** The values of a text that is JSON, or JSON in every line; undefined for any other. */
export function asJson(text: string): Json[] | undefined {
  const trimmed = text.trim();
  if (!/^[[{]/.test(trimmed)) return undefined;
  for (const parts of [[trimmed], trimmed.split("\n")]) {
    try {
      return parts.map((part) => JSON.parse(part) as Json);
    } catch {
      // Not in this way.
    }
  }
  return undefined;
}
