// What the probe saw in the containers of a real dockerd, one variant a line, and of which version
// and kernel that was.

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Rows } from "./probe.ts";

const FILE = fileURLToPath(new URL("recorded/dockerd.json", import.meta.url));

export interface Recorded {
  version: string;
  runc: string;
  kernel: string;
  variants: Record<string, Rows>;
}

/** Every kind of container but the default one is stored as what differs from it. */
type Difference = Record<string, Record<string, string | null>>;
const BASE = "default";

export async function readRecorded(): Promise<Recorded> {
  const stored = JSON.parse(await readFile(FILE, "utf8")) as Recorded;
  const base = stored.variants[BASE] ?? {};
  const variants: Record<string, Rows> = {};
  for (const [name, rows] of Object.entries(stored.variants)) {
    variants[name] = name === BASE ? rows : patched(base, rows);
  }
  return { ...stored, variants };
}

export async function writeRecorded({ variants, ...about }: Recorded): Promise<void> {
  const base = variants[BASE] ?? {};
  const lines = Object.entries(variants).map(([name, rows]) => {
    const stored = name === BASE ? rows : difference(base, rows);
    return `${JSON.stringify(name)}: ${JSON.stringify(stored)}`;
  });
  const head = JSON.stringify(about).slice(0, -1);
  await writeFile(FILE, `${head},\n"variants": {\n${lines.join(",\n")}\n}}\n`);
}

function difference(base: Rows, rows: Rows): Difference {
  const found: Difference = {};
  for (const group of new Set([...Object.keys(base), ...Object.keys(rows)])) {
    const [from, to] = [base[group] ?? {}, rows[group] ?? {}];
    for (const key of new Set([...Object.keys(from), ...Object.keys(to)])) {
      if (from[key] === to[key]) continue;
      found[group] ??= {};
      found[group][key] = to[key] ?? null;
    }
  }
  return found;
}

function patched(base: Rows, by: Difference): Rows {
  const rows: Rows = structuredClone(base);
  for (const [group, keys] of Object.entries(by)) {
    rows[group] ??= {};
    for (const [key, value] of Object.entries(keys)) {
      if (value === null) delete rows[group][key];
      else rows[group][key] = value;
    }
  }
  return rows;
}
