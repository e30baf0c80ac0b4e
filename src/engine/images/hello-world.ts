// The image that needs no registry: hello-world, whose only file is native/hello.c compiled. It is
// made the first time that somebody asks for it and nobody has brought one of that name. Its bytes
// depend on the compiled program alone, so the same build has the same image id everywhere.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { arch } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import tar from "tar-stream";
import { GantryError, programRoot } from "../../base/index.ts";
import { formatReference, type ImageConfigDocument, parseReference } from "../../spec/index.ts";
import type { Storage } from "../../storage/index.ts";

const NAME = "docker.io/library/hello-world:latest";
const PROGRAM = join(programRoot(), "native/build/hello");
const CREATED = "2026-11-21T00:00:00Z"; // fixed, or each machine would have an image of its own
const ARCHITECTURES: Record<string, string> = { x64: "amd64", arm64: "arm64" };

let making: Promise<void> | undefined;

/** Makes the image if `ref` means hello-world and there is none. Commit point: the tag. */
export async function ensureHelloWorld(
  storage: Pick<Storage, "images" | "layers" | "lease">,
  ref: string,
  { programPath = PROGRAM }: { programPath?: string } = {},
): Promise<void> {
  if (!meansHelloWorld(ref) || storage.images.resolve(NAME) !== undefined) return;
  making ??= make(storage, programPath).finally(() => {
    making = undefined;
  });
  await making;
}

function meansHelloWorld(ref: string): boolean {
  if (!ref.includes("hello-world")) return false; // the common case, without parsing
  try {
    return formatReference(parseReference(ref)) === NAME;
  } catch {
    return false; // the caller says what is wrong with it
  }
}

async function make(
  storage: Pick<Storage, "images" | "layers" | "lease">,
  programPath: string,
): Promise<void> {
  let program: Uint8Array;
  try {
    program = await readFile(programPath);
  } catch (cause) {
    const message = "The program of hello-world is not compiled: run `npm run build`";
    throw new GantryError("not-found", message, { cause });
  }
  const layer = await helloLayer(program);
  const diffId = `sha256:${createHash("sha256").update(layer).digest("hex")}`;
  const lease = storage.lease([diffId]);
  try {
    await storage.layers.apply(Readable.from([layer]), { diffId });
    const config = JSON.stringify(helloConfig(diffId));
    const id = await storage.images.put(Buffer.from(config));
    await storage.images.tag(id, NAME);
  } finally {
    lease.release();
  }
}

/** The layer's tar: one file, no time, no owner but root. */
export async function helloLayer(program: Uint8Array): Promise<Buffer> {
  const pack = tar.pack();
  const header = { name: "hello", mode: 0o755, mtime: new Date(0), uid: 0, gid: 0 };
  pack.entry(header, Buffer.from(program));
  pack.finalize();
  return await buffer(pack as unknown as Readable);
}

export function helloConfig(diffId: string): ImageConfigDocument {
  return {
    created: CREATED,
    architecture: ARCHITECTURES[arch()] ?? arch(),
    os: "linux",
    config: { Env: ["PATH=/"], Cmd: ["/hello"], WorkingDir: "/" },
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created: CREATED, created_by: "gantry native/hello.c" }],
  };
}
