// What an image is, read from `docker save`: its config without what a machine or a moment decides,
// the lines of its history, and its files as far as they differ from those of the base.

import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { extract, type Header } from "tar-stream";

export interface ImageFacts {
  config: Record<string, unknown>;
  author?: string;
  /** "COPY f /f # buildkit"; "(empty) " in front of those without a layer. */
  history: string[];
  /** Path → "file 644 0:0 \"text\"" as changed from the base, "gone" for what was removed. */
  files: Record<string, string>;
}

interface Entry {
  headers: Header;
  content: Buffer;
}
type Tree = Map<string, string>;

const TEXT_CHARS_MAX = 1500;
/** Files older than this have the time that their source had. */
const RECENT_MS = Date.parse("2020-01-01");

/** `baseLayers`: the layers that count as base, by diff id. */
export async function imageFacts(archive: Readable, baseHistory: number): Promise<ImageFacts> {
  const blobs = new Map<string, Buffer>();
  for (const { headers, content } of await entriesOf(archive)) blobs.set(headers.name, content);
  const [manifest] = JSON.parse(blobs.get("manifest.json")!.toString()) as {
    Config: string;
    Layers: string[];
  }[];
  const document = JSON.parse(blobs.get(manifest!.Config)!.toString());
  const history = (document.history ?? []) as { created_by?: string; empty_layer?: boolean }[];
  const isScratch = document.history?.[0]?.created_by !== undefined;
  const ownHistory = isScratch ? history : history.slice(baseHistory);
  const base: Tree = new Map();
  const tree: Tree = new Map();
  for (const [index, path] of manifest!.Layers.entries()) {
    const bytes = blobs.get(path)!;
    const plain = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
    await apply(tree, plain);
    if (index === 0 && !isScratch) for (const [name, fact] of tree) base.set(name, fact);
  }
  return {
    config: tidy(document.config),
    ...(document.author && { author: document.author }),
    history: ownHistory.map(
      ({ created_by, empty_layer }) => `${empty_layer ? "(empty) " : ""}${created_by}`,
    ),
    files: difference(base, tree),
  };
}

async function entriesOf(tar: Readable | Buffer): Promise<Entry[]> {
  const entries: Entry[] = [];
  const parser = extract();
  parser.on("entry", (headers, stream, next) => {
    buffer(stream).then((content) => {
      entries.push({ headers, content });
      next();
    }, parser.destroy.bind(parser));
  });
  const done = new Promise<void>((resolve, reject) => {
    parser.on("finish", resolve);
    parser.on("error", reject);
  });
  if (Buffer.isBuffer(tar)) parser.end(tar);
  else tar.on("error", (error) => parser.destroy(error)).pipe(parser);
  await done;
  return entries;
}

async function apply(tree: Tree, layer: Buffer): Promise<void> {
  const entries = await entriesOf(layer);
  const own = new Map<string, string>();
  for (const { headers, content } of entries) {
    const path = `/${headers.name.replace(/^\.?\/+/, "").replace(/\/$/, "")}`;
    const name = path.slice(path.lastIndexOf("/") + 1);
    const folder = path.slice(0, path.length - name.length);
    if (name === ".wh..wh..opq") removeBeneath(tree, folder);
    else if (name.startsWith(".wh.")) {
      tree.delete(folder + name.slice(4));
      removeBeneath(tree, `${folder}${name.slice(4)}/`);
    } else if (headers.type === "link") {
      const target = `/${headers.linkname!.replace(/^\.?\/+/, "")}`;
      own.set(path, own.get(target) ?? tree.get(target) ?? "link to nothing");
    } else {
      const fact = factOf(headers, content);
      if (!fact.startsWith("folder")) removeBeneath(tree, `${path}/`);
      own.set(path, fact);
    }
  }
  for (const [path, fact] of own) tree.set(path, fact);
  tree.delete("/");
}

function removeBeneath(tree: Tree, prefix: string): void {
  for (const path of tree.keys()) if (path.startsWith(prefix)) tree.delete(path);
}

function factOf(headers: Header, content: Buffer): string {
  const { type, mode = 0, uid = 0, gid = 0, mtime } = headers;
  const owner = `${(mode & 0o7777).toString(8)} ${uid}:${gid}`;
  const xattrs = Object.entries(headers.pax ?? {})
    .filter(([key]) => key.startsWith("SCHILY.xattr."))
    .map(([key, value]) => ` ${key.slice("SCHILY.xattr.".length)}=${JSON.stringify(value)}`)
    .join("");
  const time = mtime && mtime.getTime() < RECENT_MS ? ` @${mtime.toISOString().slice(0, 19)}` : "";
  switch (type) {
    case "directory":
      return `folder ${owner}${xattrs}`;
    case "symlink":
      return `symlink ${uid}:${gid} ${headers.linkname}`;
    case "file":
    case "contiguous-file":
      return `file ${owner}${xattrs}${time} ${textOf(content)}`;
    default:
      return `${type} ${owner} ${headers.devmajor}:${headers.devminor}`;
  }
}

function textOf(content: Buffer): string {
  if (content.toString("latin1", 1, 4) === "ELF") return "a program"; // the payload: its compiler's
  const text = content.toString("utf8");
  if (text.length <= TEXT_CHARS_MAX && Buffer.from(text).equals(content)) {
    return JSON.stringify(text);
  }
  const digest = createHash("sha256").update(content).digest("hex").slice(0, 16);
  return `${content.length} bytes ${digest}`;
}

function difference(base: Tree, tree: Tree): Record<string, string> {
  const changed: [string, string][] = [];
  for (const [path, fact] of tree) if (base.get(path) !== fact) changed.push([path, fact]);
  for (const path of base.keys()) if (!tree.has(path)) changed.push([path, "gone"]);
  return Object.fromEntries(changed.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What is not said is what it would be anyway. */
function tidy(config: Record<string, unknown> = {}): Record<string, unknown> {
  const entries = Object.entries(config).filter(([key, value]) => {
    if (key === "ArgsEscaped" || key === "Image" || key === "Hostname") return false;
    if (value === null || value === false || value === "") return false;
    return !(typeof value === "object" && Object.keys(value as object).length === 0);
  });
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
