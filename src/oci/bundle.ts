// A bundle: its config.json, read and checked once.

import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { GantryError, parseExactJson } from "../base/index.ts";
import type { OciSpec } from "../spec/index.ts";
import { checkConfigShape } from "./config-shape.ts";

const CONFIG_BYTES_MAX = 8 << 20;

/** Throws invalid for what no container can be made of. Paths become absolute. */
export async function readBundle(folder: string): Promise<OciSpec> {
  const path = join(folder, "config.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new GantryError("not-found", `JSON specification file ${path} not found`);
    }
    throw error;
  }
  if (text.length > CONFIG_BYTES_MAX) throw new GantryError("invalid", `${path} is too long`);
  let spec: OciSpec;
  try {
    spec = parseExactJson(text) as OciSpec;
  } catch (cause) {
    throw new GantryError("invalid", `${path} is no JSON: ${(cause as Error).message}`, { cause });
  }
  return checked(spec, folder);
}

function checked(spec: OciSpec, folder: string): OciSpec {
  const refuse = (why: string) => new GantryError("invalid", why);
  checkConfigShape(spec);
  if (!/^1\.\d+\.\d+/.test(spec.ociVersion ?? "")) {
    throw refuse(
      `ociVersion ${JSON.stringify(spec.ociVersion)} is not a version 1 of the runtime spec`,
    );
  }
  if (!spec.process) throw refuse("process property must not be empty");
  const { uid = 0, gid = 0, ...user } = spec.process.user ?? {};
  spec.process.user = { uid, gid, ...user };
  if (!spec.root?.path) throw refuse("root.path property must not be empty");
  spec.root = { ...spec.root, path: resolve(folder, spec.root.path) };
  for (const mount of spec.mounts ?? []) {
    const isBind =
      mount.type === "bind" || mount.options?.some((o) => o === "bind" || o === "rbind");
    if (isBind && mount.source && !mount.source.startsWith("/")) {
      mount.source = resolve(folder, mount.source);
    }
  }
  return spec;
}

/** A container whose configuration names no cgroup has one at the root of each hierarchy: a parent
 * would be left behind, or taken from others. */
export function withCgroupPath(spec: OciSpec, id: string): OciSpec {
  if (spec.linux?.cgroupsPath) return spec;
  return { ...spec, linux: { ...spec.linux, cgroupsPath: `/gantry-runtime-${id}` } };
}
