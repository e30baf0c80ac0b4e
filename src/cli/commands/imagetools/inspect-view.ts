// What `imagetools inspect` shows: buildx' text, and the members that its --format knows. Documents
// of registries appear as Go's structs do: their fields by Go's names, and whole as JSON.

import { type FullDescriptor, isIndexType } from "../../../distribution/index.ts";
import type { Reference } from "../../../spec/index.ts";
import { formatReference } from "../../../spec/index.ts";
import {
  compareBytes,
  goJson,
  showValue,
  TemplateObject,
  TypedNil,
} from "../../../template/index.ts";
import { alignTabs } from "../../format/tabwriter.ts";
import type { Collected } from "./collected.ts";
import { platformText } from "./combine.ts";

const MAPS = ["annotations", "labels", "exposedports", "volumes"];
const LISTS = ["manifests", "urls", "osfeatures", "env", "entrypoint", "cmd", "diffids", "history"];
const TEXTS = [
  ...["mediatype", "digest", "artifacttype", "architecture", "os", "osversion", "variant"],
  ...["author", "user", "workingdir", "stopsignal", "type", "createdby", "comment", "created"],
];
const NUMBERS = ["size", "schemaversion"];
const STRUCTS = ["platform", "config", "rootfs"];
const KNOWN = new Set([...MAPS, ...LISTS, ...TEXTS, ...NUMBERS, ...STRUCTS]);

const plain = (name: string): string => name.replace(/[._]/g, "").toLowerCase();

/** A document with its fields by Go's names: "RootFS.DiffIDs" for rootfs.diff_ids. */
class Document extends TemplateObject {
  readonly goType = "v1.Document";
  readonly #data: Record<string, unknown>;
  readonly #fields: Map<string, unknown>;

  constructor(data: Record<string, unknown>) {
    super();
    this.#data = data;
    this.#fields = new Map(Object.entries(data).map(([name, value]) => [plain(name), value]));
  }

  has(name: string): boolean {
    return this.#fields.has(plain(name)) || KNOWN.has(plain(name));
  }

  member(name: string): unknown {
    const field = plain(name);
    const value = this.#fields.get(field);
    if (value === undefined || value === null) return zeroOf(field);
    return MAPS.includes(field) ? value : viewOf(value);
  }

  show(): string {
    return showValue(this.#data);
  }

  toJSON(): unknown {
    return this.#data;
  }
}

function zeroOf(field: string): unknown {
  if (MAPS.includes(field)) return new TypedNil("map", "map[string]string");
  if (LISTS.includes(field)) return new TypedNil("slice", "[]string");
  if (STRUCTS.includes(field)) return new TypedNil("pointer", "*v1.Document");
  return NUMBERS.includes(field) ? 0 : "";
}

function viewOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(viewOf);
  const isObject = typeof value === "object" && value !== null;
  return isObject ? new Document(value as Record<string, unknown>) : value;
}

/** The top: fields, and the two that may be asked for alone. */
class Whole extends TemplateObject {
  readonly goType = "imagetools.tplInputs";
  readonly #members: Record<string, unknown>;
  readonly #json: object;

  constructor(members: Record<string, unknown>, json: object) {
    super();
    this.#members = members;
    this.#json = json;
  }
  has(name: string): boolean {
    return Object.hasOwn(this.#members, name);
  }
  member(name: string): unknown {
    return this.#members[name];
  }
  show(): string {
    return showValue(this.#json);
  }
  toJSON(): unknown {
    return this.#json;
  }
}

/** What a template works on. */
export function templateData({ name, manifest, platforms }: Collected): TemplateObject {
  const shown = manifestView(manifest);
  const isSeveral = platforms.size > 1;
  const pick = <T>(
    value: (parts: Collected["platforms"] extends Map<string, infer P> ? P : never) => T,
  ) => {
    const all = [...platforms].map(([platform, parts]) => [platform, value(parts)] as const);
    if (isSeveral) return Object.fromEntries(all.filter(([, one]) => one !== undefined));
    return all[0]?.[1];
  };
  const configs = pick(({ config }) => config && imageView(config));
  const sbom = pick(({ sbom: [first, ...more] }) =>
    first === undefined
      ? undefined
      : { SPDX: sorted(first), ...(more.length > 0 && { AdditionalSPDXs: more.map(sorted) }) },
  );
  const provenance = pick(({ provenance: SLSA }) =>
    SLSA === undefined ? undefined : { SLSA: sorted(SLSA) },
  );
  const images = isSeveral
    ? Object.fromEntries(Object.entries(configs ?? {}).map(([key, one]) => [key, viewOf(one)]))
    : viewOf(configs ?? {});
  return new Whole(
    {
      ...{ Name: name, Manifest: viewOf(shown), Image: images },
      ...{ SBOM: sbom ?? {}, Provenance: provenance ?? {} },
    },
    { name, manifest: shown, image: configs ?? {} },
  );
}

/** As Go prints maps. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => compareBytes(a, b));
  return Object.fromEntries(entries.map(([key, one]) => [key, sorted(one)]));
}

const IMAGE_FIELDS = [
  ...["created", "author", "architecture", "os", "os.version", "os.features", "variant"],
  ...["config", "rootfs", "history"],
];
const CONFIG_FIELDS = [
  ...["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels"],
  ...["StopSignal", "ArgsEscaped", "Healthcheck", "OnBuild", "StopTimeout", "Shell"],
];

/** The fields of an image that OCI knows, in its order; empty ones are left out. */
function imageView(config: Record<string, unknown>): Record<string, unknown> {
  const all = fields(config, IMAGE_FIELDS);
  const inner = config["config"];
  const isObject = typeof inner === "object" && inner !== null;
  return isObject
    ? { ...all, config: fields(inner as Record<string, unknown>, CONFIG_FIELDS) }
    : all;
}

function fields(from: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  const found = names.flatMap((name): [string, unknown][] => {
    const value = from[name];
    const isEmpty = value === undefined || value === null || value === "" || value === false;
    return isEmpty ? [] : [[name, value]];
  });
  return Object.fromEntries(found);
}

/** Of an index with its entries, of anything else a descriptor. */
function manifestView(manifest: Collected["manifest"]): object {
  const { mediaType, digest, raw } = manifest;
  const descriptor = { mediaType, digest, size: raw.length };
  if (!isIndexType(mediaType)) return descriptor;
  const { annotations, manifests } = JSON.parse(raw.toString("utf8")) as Record<string, unknown>;
  return { schemaVersion: 2, ...descriptor, manifests, ...(annotations ? { annotations } : {}) };
}

/** Indented, as buildx prints documents. */
export const jsonFunction = {
  parameters: ["any" as const],
  call: (value: unknown) => goJson(value, { indent: "  ", escapeHtml: true }),
};

const TABS = { minWidth: 0, padding: 1 };

/** buildx' text: one table of the image, one of its entries; annotations are tables of their own,
 * and what comes after them begins another. */
export function defaultText(reference: Reference, manifest: Collected["manifest"]): string {
  const lines = [
    `Name:\t${formatReference(reference)}`,
    `MediaType:\t${manifest.mediaType}`,
    `Digest:\t${manifest.digest}`,
  ];
  const head = aligned(lines);
  if (!isIndexType(manifest.mediaType)) return head;
  const tables = [["\t", "Manifests:\t"], []] as string[][];
  for (const [at, entry] of manifest.manifests.entries()) {
    const table = tables.at(-1)!;
    if (at > 0) table.push("\t");
    table.push(...entryLines({ ...reference, digest: entry.digest }, entry));
    const notes = Object.entries(entry.annotations ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    if (notes.length === 0) continue;
    table.push("  Annotations:\t");
    tables.push(
      notes.map(([key, value]) => `    ${key}:\t${value}`),
      [],
    );
  }
  return head + tables.map(aligned).join("");
}

const aligned = (lines: readonly string[]): string =>
  lines.length === 0 ? "" : alignTabs(`${lines.join("\n")}\n`, TABS);

function entryLines(reference: Reference, { mediaType, platform, urls }: FullDescriptor): string[] {
  const features = platform?.["os.features"];
  return [
    `  Name:\t${formatReference(reference)}`,
    `  MediaType:\t${mediaType}`,
    ...(platform ? [`  Platform:\t${platformText(platform)}`] : []),
    ...(features ? [`  OSFeatures:\t${features.join(", ")}`] : []),
    ...(urls ? [`  URLs:\t${urls.join(", ")}`] : []),
  ];
}
