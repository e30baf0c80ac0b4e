// One client's folder as the daemon keeps it: a pack and what is known of its files. Builds of the
// same folder may run at once: each makes a tree of its own, the pack only grows, and what one
// learns the next knows. It is written anew only while no build reads it.

import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, type Logger, messageOf } from "../../../base/index.ts";
import type { FileTree } from "./file-tree.ts";
import { decodeKnown, encodeKnown, type KnownFile } from "./known-files.ts";
import { Pack } from "./pack.ts";

/** A pack is written anew when more than this and more than half of it is rubbish. */
const RUBBISH_BYTES_MIN = 16 * 1024 * 1024;
const TAIL_BYTES_MIN = 1024 * 1024;
/** Files that no client had for so long are forgotten at a rewrite. */
const UNSEEN_MS_MAX = 14 * 24 * 3600 * 1000;
const TREES_MAX = 8;

/** The tree that a filter gave last, in the order of its entries. */
export interface LastTree {
  tree: FileTree;
  paths: readonly string[];
  nodes: readonly unknown[];
}

export class KeptContext {
  readonly dir: string;
  readonly #log: Logger;
  #known: Map<string, KnownFile>;
  #pack: Pack;
  #packNumber: number;
  #users = 0;
  readonly #trees = new Map<string, LastTree>();
  #changed = false;
  #writing: Promise<void> = Promise.resolve();

  private constructor(
    dir: string,
    log: Logger,
    facts: { known: Map<string, KnownFile>; pack: Pack; packNumber: number },
  ) {
    this.dir = dir;
    this.#log = log;
    this.#known = facts.known;
    this.#pack = facts.pack;
    this.#packNumber = facts.packNumber;
  }

  /** What is there, or an empty one where nothing sound is. */
  static async open(dir: string, log: Logger): Promise<KeptContext> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    try {
      const { files, packNumber, packEnd } = decodeKnown(await readFile(join(dir, "index")));
      const pack = await Pack.open(join(dir, `pack-${packNumber}`), packEnd);
      return new KeptContext(dir, log, { known: files, pack, packNumber });
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") {
        log.warn("A kept build context is not used any more", { dir, error: messageOf(error) });
      }
      await rm(dir, { recursive: true, force: true });
      await mkdir(dir, { mode: 0o700 });
      const pack = await Pack.make(join(dir, "pack-1"));
      return new KeptContext(dir, log, { known: new Map(), pack, packNumber: 1 });
    }
  }

  get inUse(): boolean {
    return this.#users > 0;
  }

  get bytes(): number {
    return this.#pack.end;
  }

  /** Takes the pack for a build: it stays as it is until `release`. */
  use(): { pack: Pack; release: () => Promise<void> } {
    this.#users++;
    let released = false;
    const release = async () => {
      if (released) return;
      released = true;
      this.#users--;
      await this.save();
    };
    return { pack: this.#pack, release };
  }

  known(path: string): KnownFile | undefined {
    return this.#known.get(path);
  }

  learn(path: string, file: KnownFile): void {
    this.#known.set(path, file);
    this.#changed = true;
  }

  lastTree(filter: string): LastTree | undefined {
    return this.#trees.get(filter);
  }

  keepTree(filter: string, last: LastTree): void {
    this.#trees.delete(filter);
    this.#trees.set(filter, last);
    const [oldest] = this.#trees.keys();
    if (this.#trees.size > TREES_MAX) this.#trees.delete(oldest!);
  }

  /** Writes down what was learnt; one at a time. Failures cost the next daemon a transfer. */
  save(): Promise<void> {
    const work = this.#writing.then(async () => {
      this.#cutTail();
      if (!this.#changed) return;
      this.#changed = false;
      await this.#rewriteIfWorth();
      await this.#write();
    });
    this.#writing = work.catch((error) => {
      this.#log.warn("Cannot keep a build context", { dir: this.dir, error });
    });
    return this.#writing;
  }

  async #write(): Promise<void> {
    const pack = this.#pack;
    const packEnd = pack.end;
    const bytes = encodeKnown({ files: this.#known, packNumber: this.#packNumber, packEnd });
    await pack.sync();
    const partial = join(this.dir, "index.new");
    const file = await open(partial, "w", 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, join(this.dir, "index"));
  }

  /** A transfer that failed half-way, on a full disk say, leaves bytes that nobody speaks of. */
  #cutTail(): void {
    if (this.inUse) return;
    let end = 0;
    for (const { node } of this.#known.values()) end = Math.max(end, node.offset + node.size);
    if (this.#pack.end - end >= TAIL_BYTES_MIN) this.#pack.cut(end);
  }

  /** Copies what is spoken of into a new pack, when much of the old one is not. */
  async #rewriteIfWorth(): Promise<void> {
    let live = 0;
    for (const { node } of this.#known.values()) live += node.size;
    const rubbish = this.#pack.end - live;
    if (this.inUse || rubbish < RUBBISH_BYTES_MIN || rubbish < live) return;
    const before = this.#pack;
    const known = this.#known;
    const number = this.#packNumber + 1;
    const next = join(this.dir, `pack-${number}`);
    await rm(next, { force: true });
    const pack = await Pack.make(next);
    const moved = await moveFiles(known, before, pack);
    if (this.inUse || this.#known !== known || this.#changed) {
      await pack.close(); // a build came in between; another time
      await rm(next, { force: true });
      this.#changed = true;
      return;
    }
    this.#pack = pack;
    this.#packNumber = number;
    this.#known = moved;
    this.#trees.clear();
    await this.#write();
    await before.close();
    await rm(before.path, { force: true });
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#pack.close();
  }
}

async function moveFiles(
  known: ReadonlyMap<string, KnownFile>,
  from: Pack,
  to: Pack,
): Promise<Map<string, KnownFile>> {
  const moved = new Map<string, KnownFile>();
  const reader = from.reader();
  const oldest = Date.now() - UNSEEN_MS_MAX;
  for (const [path, file] of [...known]) {
    if (file.seenAtMs < oldest) continue;
    const { node } = file;
    const offset = to.reserve(node.size);
    let at = offset;
    for await (const chunk of reader.read(node.offset, node.size)) {
      await to.write(at, [chunk]);
      at += chunk.length;
    }
    moved.set(path, { ...file, node: { ...node, offset } });
  }
  return moved;
}
