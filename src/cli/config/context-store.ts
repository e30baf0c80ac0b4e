// Docker's contexts on disk: contexts/meta/<sha256 of the name>/meta.json and, beside it,
// contexts/tls/<sha256>/docker/{ca,cert,key}.pem, so that both clients share them.

import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf, GantryError } from "../../base/index.ts";

export interface ContextMeta {
  Name: string;
  Metadata: { Description?: string; [key: string]: unknown };
  Endpoints: { docker?: { Host?: string; SkipTLSVerify?: boolean }; [key: string]: unknown };
}
export type TlsFiles = Record<string, Buffer>;

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$/;
export const TLS_FILES = ["ca.pem", "cert.pem", "key.pem"] as const;

export class ContextStore {
  readonly root: string;
  constructor(configFolder: string) {
    this.root = join(configFolder, "contexts");
  }

  metaFolder(name: string): string {
    return join(this.root, "meta", folderOf(name));
  }
  tlsFolder(name: string): string {
    return join(this.root, "tls", folderOf(name));
  }

  list(): ContextMeta[] {
    let folders: string[] = [];
    try {
      folders = readdirSync(join(this.root, "meta"));
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
    const metas = folders.flatMap((folder) => {
      const path = join(this.root, "meta", folder, "meta.json");
      return existsSync(path) ? [normalize(JSON.parse(readFileSync(path, "utf8")))] : [];
    });
    return metas.sort((a, b) => (a.Name < b.Name ? -1 : 1));
  }

  get(name: string): ContextMeta {
    try {
      const text = readFileSync(join(this.metaFolder(name), "meta.json"), "utf8");
      return normalize(JSON.parse(text));
    } catch (cause) {
      if (errnoOf(cause) !== "ENOENT") throw cause;
      throw new GantryError(
        "not-found",
        `context ${JSON.stringify(name)}: context not found: open ${join(this.metaFolder(name), "meta.json")}: no such file or directory`,
        { cause },
      );
    }
  }

  has(name: string): boolean {
    return existsSync(join(this.metaFolder(name), "meta.json"));
  }

  put(meta: ContextMeta): void {
    checkContextName(meta.Name);
    const folder = this.metaFolder(meta.Name);
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    writeFileSync(join(folder, "meta.json"), JSON.stringify(meta), { mode: 0o644 });
  }

  /** The docker endpoint's key material; absent files are left out. */
  tls(name: string): TlsFiles {
    const files: TlsFiles = {};
    for (const file of TLS_FILES) {
      const path = join(this.tlsFolder(name), "docker", file);
      if (existsSync(path)) files[file] = readFileSync(path);
    }
    return files;
  }

  putTls(name: string, files: TlsFiles): void {
    rmSync(this.tlsFolder(name), { recursive: true, force: true });
    if (Object.keys(files).length === 0) return;
    const folder = join(this.tlsFolder(name), "docker");
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const [file, content] of Object.entries(files)) {
      writeFileSync(join(folder, file), content, { mode: 0o600 });
      chmodSync(join(folder, file), 0o600);
    }
  }

  remove(name: string): void {
    rmSync(this.metaFolder(name), { recursive: true, force: true });
    rmSync(this.tlsFolder(name), { recursive: true, force: true });
  }
}

export function checkContextName(name: string): void {
  if (name === "") throw new GantryError("invalid", "context name cannot be empty");
  if (name === "default") throw new GantryError("invalid", '"default" is a reserved context name');
  if (!NAME.test(name)) {
    throw new GantryError(
      "invalid",
      `context name ${JSON.stringify(name)} is invalid, names are validated against regexp ${JSON.stringify(NAME.source)}`,
    );
  }
}

function normalize(meta: Partial<ContextMeta>): ContextMeta {
  return { Name: meta.Name ?? "", Metadata: meta.Metadata ?? {}, Endpoints: meta.Endpoints ?? {} };
}

function folderOf(name: string): string {
  return createHash("sha256").update(name).digest("hex");
}
