// Secrets of --secret, read when a step wants them, never before and never kept.

import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { GantryError } from "../../../../base/index.ts";
import { callerPath, type Io } from "../../../io.ts";
import type { SecretSpec } from "../request/specs.ts";
import { fileError } from "./walk.ts";

/** As BuildKit's own limit. */
const SECRET_BYTES_MAX = 500 * 1024;

interface Source {
  env?: string;
  path?: string;
}

/** By id. Throws when a named file is not there: before anything is built. */
export async function openSecrets(
  io: Io,
  specs: readonly SecretSpec[],
): Promise<Map<string, Source>> {
  const sources = new Map<string, Source>();
  for (const { id, path, env } of specs) {
    if (env !== undefined) sources.set(id, { env });
    else if (path !== undefined) sources.set(id, { path: await checkedFile(io, path) });
    // The id alone is the name of a variable or of a file.
    else if (io.env[id] !== undefined) sources.set(id, { env: id });
    else sources.set(id, { path: await checkedFile(io, id) });
  }
  return sources;
}

async function checkedFile(io: Io, given: string): Promise<string> {
  const home = given.startsWith("~/") ? `${io.env["HOME"] ?? ""}${given.slice(1)}` : given;
  const path = callerPath(io, home);
  if (!existsSync(path)) {
    throw new GantryError(
      "invalid",
      `failed to stat ${given}: stat ${given}: no such file or directory`,
    );
  }
  const { size } = await stat(path);
  if (size > SECRET_BYTES_MAX) {
    throw new GantryError("invalid", `secret ${given} too big. max size 500KB`);
  }
  return path;
}

export async function readSecret(
  io: Io,
  sources: ReadonlyMap<string, Source>,
  id: string,
): Promise<Uint8Array> {
  const source = sources.get(id);
  if (source === undefined) throw new GantryError("not-found", `secret ${id} not found`);
  if (source.env !== undefined) {
    const value = io.env[source.env];
    if (value === undefined) throw new GantryError("not-found", `secret ${id} not found`);
    return Buffer.from(value);
  }
  try {
    return await readFile(source.path!);
  } catch (error) {
    throw fileError("open", source.path!, error);
  }
}
