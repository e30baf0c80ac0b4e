// Which files bake reads, in which order, and of which form each is.

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { GantryError, messageOf } from "../../../../base/index.ts";
import { callerPath, type Io } from "../../../io.ts";
import { composeConfig } from "./compose-config.ts";
import { HCL_REMEDY, jsonConfig } from "./json-config.ts";
import { addConfig, type BakeConfig, emptyConfig } from "./target.ts";

const USUAL = [
  "compose.yaml",
  "compose.yml",
  "docker-compose.yml",
  "docker-compose.yaml",
  "docker-bake.json",
  "docker-bake.hcl",
  "docker-bake.override.json",
  "docker-bake.override.hcl",
];

/** Reads `names`, or the files of the usual names that are there; later ones go over earlier. */
export async function readBakeFiles(
  io: Io,
  names: readonly string[],
  given: Readonly<Record<string, string>>,
): Promise<BakeConfig> {
  const found = names.length > 0 ? names : USUAL.filter((name) => existsSync(join(io.cwd, name)));
  if (found.length === 0) {
    throw new GantryError("not-found", "couldn't find a bake definition");
  }
  const environment = { ...(await dotEnv(io)), ...io.env };
  const all = emptyConfig();
  for (const name of found) {
    const text = await readText(io, name);
    if (isHcl(name, text)) {
      throw new GantryError("not-implemented", `${name}: HCL is not supported: ${HCL_REMEDY}`);
    }
    const isJson = name.endsWith(".json") || /^\s*\{/.test(text);
    const config = isJson
      ? jsonConfig(text, name, { variables: { given, environment }, before: all.variables })
      : await composeConfig(text, name, { ...environment, ...given });
    addConfig(all, config);
  }
  for (const name of Object.keys(given)) {
    if (all.variables.has(name) || all.variables.size === 0) continue;
    throw new GantryError("invalid", `--var ${name}: there is no variable of that name`);
  }
  return all;
}

function isHcl(name: string, text: string): boolean {
  if (name.endsWith(".hcl")) return true;
  if (/\.(json|ya?ml)$/i.test(name)) return false;
  return /^\s*(target|group|variable|function)\s+"/m.test(text);
}

async function readText(io: Io, name: string): Promise<string> {
  try {
    if (name !== "-") return await readFile(callerPath(io, name), "utf8");
    const chunks: Buffer[] = [];
    for await (const chunk of io.stdin.open() as AsyncIterable<Buffer>) chunks.push(chunk);
    return Buffer.concat(chunks).toString("utf8");
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    const why = isMissing ? "no such file or directory" : messageOf(cause);
    throw new GantryError("invalid", `failed to read bake file: open ${name}: ${why}`, { cause });
  }
}

/** Compose's own: the variables of .env stand behind the environment's. */
async function dotEnv(io: Io): Promise<Record<string, string | undefined>> {
  try {
    return parseEnv(await readFile(join(io.cwd, ".env"), "utf8"));
  } catch {
    return {};
  }
}
