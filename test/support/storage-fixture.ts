// A storage of its own in a temporary folder, over a real native program, for kernel tests.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Spawner } from "../../src/native/index.ts";
import {
  type ArchiveLimits,
  type OpenStorage,
  openStorage,
  RootFiles,
} from "../../src/storage/index.ts";

export interface StorageFixture {
  root: string;
  native: Spawner;
  storage: OpenStorage;
  files: RootFiles;
  /** Closes the storage and opens it again, as a restarted daemon would. */
  reopen(o?: { closed?: boolean }): Promise<OpenStorage>;
  /** Starts a new native program after the old one has died, and a storage over it. */
  restartNative(): Promise<void>;
  /** Names in a folder of the storage root. */
  names(folder: string): Promise<string[]>;
  close(): Promise<void>;
}

export async function storageFixture(limits: Partial<ArchiveLimits> = {}): Promise<StorageFixture> {
  const base = process.env["GANTRY_TEST_SCRATCH"] ?? tmpdir();
  const folder = await mkdtemp(join(base, "storage-"));
  const execRoot = join(folder, "exec");
  await mkdir(execRoot);
  const root = join(folder, "data");
  const native = new Spawner({ execRoot });
  const open = () => openStorage({ root, native: fixture.native, limits });
  const fixture: StorageFixture = {
    root,
    native,
    storage: await openStorage({ root, native, limits }),
    files: new RootFiles(native),
    async restartNative() {
      await fixture.native.close();
      fixture.native = new Spawner({ execRoot });
      fixture.files = new RootFiles(fixture.native);
      await fixture.reopen();
    },
    async reopen({ closed = false } = {}) {
      if (!closed) await fixture.storage.close();
      fixture.storage = await open();
      return fixture.storage;
    },
    async names(name) {
      await fixture.storage.trash.settled();
      return readdir(join(root, name));
    },
    async close() {
      await fixture.storage.close();
      await fixture.native.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return fixture;
}

/** Bytes as a stream, in chunks of a size that no header fits evenly. */
export function streamOf(data: Uint8Array, chunkBytes = 100_003): Readable {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += chunkBytes) {
    chunks.push(data.subarray(at, at + chunkBytes));
  }
  return Readable.from(chunks, { objectMode: false });
}

export async function bytesOf(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** A real root file system that lies beside the repository on the project's own machines. */
export function sharedImage(name: string): string | undefined {
  const path = fileURLToPath(new URL(`../../../shared/images/${name}`, import.meta.url));
  return existsSync(path) ? path : undefined;
}
