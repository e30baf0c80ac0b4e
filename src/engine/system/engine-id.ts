// Who this engine is, for `info` and for daemon events: a random id, kept in the data root for as
// long as that lives, as dockerd keeps its own.

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../base/index.ts";

const FILE = "engine-id";
const ID = /^[\w:-]{1,64}$/;

export async function engineId(dataRoot: string): Promise<string> {
  const path = join(dataRoot, FILE);
  const known = (await readFile(path, "utf8").catch(() => "")).trim();
  if (ID.test(known)) return known;
  const id = randomUUID();
  await writeFileAtomic(path, id, { mode: 0o600 });
  return id;
}
