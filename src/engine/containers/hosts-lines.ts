// Changes of /etc/hosts while a container runs: the lines that are the engine's; what the container
// has written there itself is kept. The file is mounted in the container, so it stays the same
// file, and a hostile one can make it as large as the disk: such a file is left to it.

import { type FileHandle, open } from "node:fs/promises";
import { GantryError, KeyedMutex } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { ContainerRecord } from "./record.ts";

const HOSTS_BYTES_MAX = 1 << 20;

const turns = new KeyedMutex();

/** Failing is no reason to fail what it is done for. */
export async function changeHosts(
  engine: EngineContext,
  c: ContainerRecord,
  change: (lines: string[]) => string[],
): Promise<void> {
  const path = engine.paths.container(c.id).hosts;
  try {
    await turns.run(path, () => changeLines(path, change));
  } catch (error) {
    engine.log.warn("Failed to change the hosts file of a container", { id: c.id, error });
  }
}

/** Throws exhausted for a file that is too large. */
export async function changeLines(
  path: string,
  change: (lines: string[]) => string[],
): Promise<void> {
  await using file = await open(path, "r+");
  const text = await readSmall(file);
  const changed = `${change(text.replace(/\n$/, "").split("\n")).join("\n")}\n`;
  if (changed === text) return;
  const bytes = Buffer.from(changed);
  // First all that is to be there: who reads meanwhile finds no empty file.
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at, bytes.length - at, at)).bytesWritten;
  }
  await file.truncate(bytes.length);
}

/** No more than the limit is read, whatever the container does to the file meanwhile. */
async function readSmall(file: FileHandle): Promise<string> {
  const bytes = Buffer.alloc(HOSTS_BYTES_MAX + 1);
  let length = 0;
  for (let count = -1; count !== 0; length += count) {
    count = (await file.read(bytes, length, bytes.length - length, length)).bytesRead;
  }
  if (length > HOSTS_BYTES_MAX) {
    throw new GantryError("exhausted", `it has more than ${HOSTS_BYTES_MAX} bytes`);
  }
  return bytes.toString("utf8", 0, length);
}
