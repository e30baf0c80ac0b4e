// Lists of manifests that are being put together, as docker's client keeps them: a folder a list
// beneath manifests/ in the configuration folder, in it a JSON file for each image.

import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, GantryError, writeFileAtomic } from "../../../base/index.ts";
import type { FullPlatform } from "../../../distribution/index.ts";
import { formatReference, type Reference } from "../../../spec/index.ts";
import type { Session } from "../../session.ts";

/** Docker's fields and their order. */
export interface ListEntry {
  Ref: string;
  Descriptor: { mediaType: string; digest: string; size: number; platform?: FullPlatform };
  /** The manifest's bytes in base64. */
  Raw: string;
  SchemaV2Manifest?: object;
  OCIManifest?: object;
}

export class ListStore {
  #root: string;

  constructor(session: Session) {
    this.#root = join(session.configFolder, "manifests");
  }

  #folder(list: Reference): string {
    return join(this.#root, fileName(list));
  }

  /** The images of a list by name; undefined when there is no such list. */
  async entries(list: Reference): Promise<ListEntry[] | undefined> {
    let names: string[];
    try {
      names = await readdir(this.#folder(list));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
    const files = names.filter((name) => !name.endsWith(".tmp")).sort();
    return Promise.all(files.map((name) => read(join(this.#folder(list), name))));
  }

  async entry(list: Reference, image: Reference): Promise<ListEntry | undefined> {
    try {
      return await read(join(this.#folder(list), fileName(image)));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  async save(list: Reference, image: Reference, entry: ListEntry): Promise<void> {
    await mkdir(this.#folder(list), { recursive: true, mode: 0o755 });
    const path = join(this.#folder(list), fileName(image));
    await writeFileAtomic(path, JSON.stringify(entry), { mode: 0o644 });
  }

  /** Returns whether there was one. */
  async remove(list: Reference): Promise<boolean> {
    if ((await this.entries(list)) === undefined) return false;
    await rm(this.#folder(list), { recursive: true, force: true });
    return true;
  }
}

async function read(path: string): Promise<ListEntry> {
  const text = await readFile(path, "utf8");
  try {
    const entry = JSON.parse(text) as ListEntry;
    const { digest, mediaType, size } = entry.Descriptor;
    const isSound = typeof digest === "string" && typeof mediaType === "string";
    if (!isSound || typeof entry.Raw !== "string" || typeof size !== "number") throw new Error();
    return entry;
  } catch (cause) {
    throw new GantryError("corrupt", `${path} is not a manifest of a list`, { cause });
  }
}

/** References have no "..": a name never leaves its folder. */
function fileName(reference: Reference): string {
  return formatReference(reference).replaceAll(":", "-").replaceAll("/", "_");
}
