// A folder of the caller in OCI layout as a content store of the daemon's (containerd's content
// service): local caches and oci-layout contexts. Blobs go in under their digest, once they are
// whole and have it.

import { createHash, randomBytes } from "node:crypto";
import {
  type FileHandle,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { GantryError } from "../../../../base/index.ts";
import { content } from "../../../../gen/buildkit/index.ts";
import { framed } from "../../../../wire/index.ts";
import type { ServedCall } from "./grpc-server.ts";

const PIECE_BYTES = 256 * 1024;
const DIGEST = /^(sha256|sha384|sha512):([0-9a-f]{64,128})$/;

export class LayoutFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  blobPath(digest: string): string {
    const match = DIGEST.exec(digest);
    if (!match) throw new GantryError("invalid", `invalid digest ${JSON.stringify(digest)}`);
    return join(this.path, "blobs", match[1]!, match[2]!);
  }

  async size(digest: string): Promise<number> {
    try {
      return (await stat(this.blobPath(digest))).size;
    } catch (error) {
      if (error instanceof GantryError) throw error;
      throw new GantryError("not-found", `content ${digest}: not found`, { cause: error });
    }
  }
}

/** Content.Read */
export async function readBlob(
  call: ServedCall,
  folder: LayoutFolder,
  { digest, offset, size }: { digest: string; offset: bigint; size: bigint },
): Promise<void> {
  const total = await folder.size(digest);
  const end = size > 0n ? Math.min(total, Number(offset + size)) : total;
  const file = await open(folder.blobPath(digest), "r");
  try {
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    for (let at = Number(offset); at < end; ) {
      const { bytesRead } = await file.read(piece, 0, Math.min(PIECE_BYTES, end - at), at);
      if (bytesRead === 0) throw new GantryError("internal", `content ${digest} was cut short`);
      const message = create(content.ReadContentResponseSchema, {
        offset: BigInt(at),
        data: piece.subarray(0, bytesRead),
      });
      await call.sendFrames(framed(toBinary(content.ReadContentResponseSchema, message)));
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}

/** Content.Write */
export async function writeBlob(call: ServedCall, folder: LayoutFolder): Promise<void> {
  const ingest = new Ingest(folder);
  try {
    for await (const messages of call.messages()) {
      for (const message of messages) {
        const request = fromBinary(content.WriteContentRequestSchema, message);
        const answer = await ingest.take(request);
        const response = create(content.WriteContentResponseSchema, answer);
        await call.sendFrames(framed(toBinary(content.WriteContentResponseSchema, response)));
      }
    }
  } finally {
    await ingest.abandon();
  }
}

class Ingest {
  readonly #folder: LayoutFolder;
  #file: FileHandle | undefined;
  #temporary = "";
  #hash = createHash("sha256");
  #offset = 0;
  #total = 0n;
  #expected = "";
  #done = false;

  constructor(folder: LayoutFolder) {
    this.#folder = folder;
  }

  async take(request: content.WriteContentRequest) {
    const { action, data, offset, total, expected } = request;
    if (expected !== "") this.#expected = expected;
    if (total > 0n) this.#total = total;
    if (this.#expected !== "" && this.#file === undefined && !this.#done) await this.#refuseKnown();
    if (data.length > 0) {
      if (Number(offset) !== this.#offset) {
        throw new GantryError("invalid", `write at ${offset}, not at ${this.#offset}`);
      }
      await this.#write(data);
    }
    const isCommit = action === content.WriteAction.COMMIT;
    const digest = isCommit ? await this.#commit() : "";
    return { action, offset: BigInt(this.#offset), total: this.#total, digest };
  }

  async #refuseKnown(): Promise<void> {
    const known = await this.#folder.size(this.#expected).catch(() => undefined);
    if (known === undefined) return;
    throw new GantryError("conflict", `content ${this.#expected}: already exists`, {
      detail: { alreadyExists: true },
    });
  }

  async #write(data: Uint8Array): Promise<void> {
    if (this.#file === undefined) {
      this.#temporary = join(this.#folder.path, "ingest", randomBytes(16).toString("hex"));
      await mkdir(dirname(this.#temporary), { recursive: true });
      this.#file = await open(this.#temporary, "wx", 0o644);
    }
    for (let at = 0; at < data.length; ) {
      at += (await this.#file.write(data, at, data.length - at)).bytesWritten;
    }
    this.#hash.update(data);
    this.#offset += data.length;
  }

  async #commit(): Promise<string> {
    if (this.#offset === 0) await this.#write(new Uint8Array());
    const digest = `sha256:${this.#hash.digest("hex")}`;
    if (this.#expected !== "" && this.#expected !== digest) {
      throw new GantryError(
        "invalid",
        `unexpected commit digest ${digest}, expected ${this.#expected}`,
      );
    }
    if (this.#total > 0n && this.#total !== BigInt(this.#offset)) {
      throw new GantryError("invalid", `unexpected commit size ${this.#offset}`);
    }
    await this.#file!.sync();
    await this.#file!.close();
    this.#file = undefined;
    const path = this.#folder.blobPath(digest);
    await mkdir(dirname(path), { recursive: true });
    await rename(this.#temporary, path);
    this.#done = true;
    return digest;
  }

  async abandon(): Promise<void> {
    if (this.#file === undefined) return;
    await this.#file.close().catch(() => {});
    await rm(this.#temporary, { force: true });
  }
}

const REF_NAME = "org.opencontainers.image.ref.name";

export interface LayoutDescriptor {
  mediaType: string;
  digest: string;
  size: number;
  annotations?: Record<string, string>;
  platform?: unknown;
}
interface LayoutIndex {
  schemaVersion: 2;
  mediaType?: string;
  manifests: LayoutDescriptor[];
}

async function readIndex(folder: string): Promise<LayoutIndex | undefined> {
  let text: string;
  try {
    text = await readFile(join(folder, "index.json"), "utf8");
  } catch {
    return undefined;
  }
  const index = JSON.parse(text) as LayoutIndex;
  if (!Array.isArray(index.manifests)) {
    throw new GantryError("invalid", `${folder}/index.json is no OCI index`);
  }
  return index;
}

/** What a layout has under a tag; its only manifest where nobody said which. */
export async function findInLayout(folder: string, tag: string): Promise<string | undefined> {
  const index = await readIndex(folder);
  if (!index) return undefined;
  const named = index.manifests.find(({ annotations }) => annotations?.[REF_NAME] === tag);
  const only = tag === "latest" && index.manifests.length === 1 ? index.manifests[0] : undefined;
  return (named ?? only)?.digest;
}

/** Gives a manifest of a layout its tag. */
export async function putInLayout(
  folder: string,
  tag: string,
  descriptor: LayoutDescriptor,
): Promise<void> {
  const index = (await readIndex(folder)) ?? {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [],
  };
  const rest = index.manifests.filter(
    ({ digest, annotations }) => annotations?.[REF_NAME] !== tag && digest !== descriptor.digest,
  );
  const named = { ...descriptor, annotations: { ...descriptor.annotations, [REF_NAME]: tag } };
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const temporary = join(folder, `.index.json.${process.pid}`);
  await writeFile(temporary, JSON.stringify({ ...index, manifests: [...rest, named] }));
  await rename(temporary, join(folder, "index.json"));
}
