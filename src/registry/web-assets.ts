// The files of the registry's page (web/registry): read once, at the first request. Its TypeScript
// goes to the browser as it is written, with the types blanked out by Node itself, so that there is
// neither a build step nor a bundler. Only the files listed here are ever served.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { GantryError, programRoot } from "../base/index.ts";

/** By the path under which the page asks for them. */
const FILES: Readonly<Record<string, { file: string; type: string }>> = {
  "/": { file: "index.html", type: "text/html; charset=utf-8" },
  "/ui/style.css": { file: "style.css", type: "text/css; charset=utf-8" },
  "/ui/icon.svg": { file: "icon.svg", type: "image/svg+xml" },
  ...Object.fromEntries(
    [
      "dialogs",
      "dom",
      "format",
      "image-view",
      "main",
      "manifest-view",
      "registry-api",
      "repositories-view",
      "repository-view",
      "view",
    ].map((name) => [
      `/ui/${name}.ts`,
      { file: `${name}.ts`, type: "text/javascript; charset=utf-8" },
    ]),
  ),
};

export const assetPaths: readonly string[] = Object.keys(FILES);

export interface Asset {
  type: string;
  bytes: Buffer;
  gzip: Buffer;
  etag: string;
}

const loaded = new Map<string, Promise<Asset>>();

/** Throws GantryError unavailable where the installation has left the page out. */
export function asset(path: string): Promise<Asset> {
  const known = loaded.get(path);
  if (known !== undefined) return known;
  const loading = load(path);
  loaded.set(path, loading);
  loading.catch(() => loaded.delete(path));
  return loading;
}

async function load(path: string): Promise<Asset> {
  const { file, type } = FILES[path]!;
  let text: string;
  try {
    text = await readFile(join(programRoot(), "web/registry", file), "utf8");
  } catch (cause) {
    const message = `This installation has no file web/registry/${file} for the registry's page`;
    throw new GantryError("unavailable", message, { cause });
  }
  const bytes = Buffer.from(file.endsWith(".ts") ? stripTypeScriptTypes(text) : text);
  const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
  return { type, bytes, gzip: gzipSync(bytes), etag };
}
