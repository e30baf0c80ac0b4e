// A context that comes as one stream: a tar, compressed or not, which is kept as it is while its
// index is made of what goes by, or a Dockerfile alone. Only a tar that the index cannot follow
// (sparse files, links upon links) is unpacked, by the native program.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { GantryError } from "../../../base/index.ts";
import { decompress, type RootSource } from "../../../storage/index.ts";
import type { EngineContext } from "../../context.ts";
import { isTarHeader } from "../file-content.ts";
import { RootSourceFiles } from "../root-source.ts";
import type { Workspace } from "../workspace.ts";
import { BLANK_NODE, FileTree, folderNode } from "./file-tree.ts";
import type { IndexedContext } from "./index-files.ts";
import { Pack } from "./pack.ts";
import { indexOf } from "./scan-tree.ts";
import { TarIndexer } from "./tar-indexer.ts";
import { TooOdd } from "./tree-builder.ts";

const HEADER_BYTES = 512;
const WRITE_BYTES = 1 << 20;
const DOCKERFILE_BYTES_MAX = 2 * 1024 * 1024;

interface StreamPlace {
  engine: EngineContext;
  workspace: Workspace;
}

/** Reads the stream to its end. What it makes is in the build's own folder. */
export async function streamContext(
  place: StreamPlace,
  bytes: Readable,
  { signal, received }: { signal: AbortSignal; received?: (bytes: number) => void },
): Promise<IndexedContext & { pack: Pack }> {
  const { stream } = await decompress(bytes);
  const pack = await newPack(place.workspace);
  const kind = new Kind(pack);
  for await (const chunk of stream) {
    signal.throwIfAborted();
    await kind.push(chunk as Buffer);
    received?.((chunk as Buffer).length);
  }
  const tree = await kind.end();
  return tree ? { tree, pack } : await unpacked(place, pack, signal);
}

/** A pack that is the build's alone. */
export async function newPack(workspace: Workspace): Promise<Pack> {
  const pack = await Pack.make(join(await workspace.scratch(), "pack"));
  workspace.atEnd(() => pack.close());
  return pack;
}

/** Finds out by the first block what comes. */
class Kind {
  readonly #pack: Pack;
  #head: Buffer | undefined = Buffer.alloc(0);
  #indexer: TarIndexer | undefined;
  #isTar = false;
  readonly #hash = createHash("sha256");
  #waiting: Buffer[] = [];
  #waitingBytes = 0;

  constructor(pack: Pack) {
    this.#pack = pack;
  }

  async push(chunk: Buffer): Promise<void> {
    if (this.#head === undefined) return await this.#take(chunk);
    this.#head = Buffer.concat([this.#head, chunk]);
    if (this.#head.length >= HEADER_BYTES) await this.#begin();
  }

  async #begin(): Promise<void> {
    const head = this.#head!;
    this.#head = undefined;
    this.#isTar = isTarHeader(head.subarray(0, HEADER_BYTES)) || isBlank(head);
    if (this.#isTar) this.#indexer = new TarIndexer();
    await this.#take(head);
  }

  async #take(chunk: Buffer): Promise<void> {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (!this.#isTar) this.#hash.update(chunk);
    try {
      this.#indexer?.push(chunk);
    } catch (error) {
      if (!(error instanceof TooOdd)) throw error;
      this.#indexer = undefined; // the rest is only kept
    }
    if (!this.#isTar && this.#pack.end + this.#waitingBytes > DOCKERFILE_BYTES_MAX) {
      const most = `${DOCKERFILE_BYTES_MAX} bytes`;
      const message = `a build context is neither a tar nor a Dockerfile of at most ${most}`;
      throw new GantryError("invalid", message);
    }
    if (this.#waitingBytes >= WRITE_BYTES) await this.#flush();
  }

  async #flush(): Promise<void> {
    const chunks = this.#waiting.splice(0);
    const size = this.#waitingBytes;
    this.#waitingBytes = 0;
    await this.#pack.append(chunks, size);
  }

  /** Undefined: a tar that must be unpacked. */
  async end(): Promise<FileTree | undefined> {
    if (this.#head !== undefined) await this.#begin();
    await this.#flush();
    if (!this.#isTar) return dockerfileAlone(this.#pack.end, this.#hash.digest("hex"));
    try {
      return this.#indexer?.end();
    } catch (error) {
      if (error instanceof TooOdd) return undefined;
      throw error;
    }
  }
}

const isBlank = (head: Buffer): boolean => head[0] === 0 || head.length === 0;

function dockerfileAlone(size: number, digest: string): FileTree {
  const root = folderNode();
  root.children!.set("Dockerfile", { ...BLANK_NODE, type: "0", size, digest });
  return new FileTree(root);
}

/** Unpacks for real, and takes the index and the bytes from that. */
async function unpacked(
  { engine, workspace }: StreamPlace,
  tar: Pack,
  signal: AbortSignal,
): Promise<IndexedContext & { pack: Pack }> {
  const path = await workspace.scratch();
  const source: RootSource = { kind: "mount", rootfs: { kind: "bind", path } };
  const bytes = createReadStream(tar.path, { highWaterMark: WRITE_BYTES });
  await engine.files.untar(source, "/", bytes, { owner: { uid: 0, gid: 0 }, signal });
  const pack = await newPack(workspace);
  const files = new RootSourceFiles(engine.files, source);
  return { tree: await indexOf(files, pack, { signal }), pack };
}
