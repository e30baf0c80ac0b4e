// What this program says of itself: the version of package.json, and the commit where known.

import { readFile, stat } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { programRoot } from "../base/index.ts";

export interface Program {
  version: string;
  buildId: string;
  /** RFC 3339; "" where the native program is not built. */
  buildTime: string;
}

export async function program(): Promise<Program> {
  const root = pathToFileURL(`${programRoot()}/`);
  const manifest = await readFile(new URL("package.json", root), "utf8").catch(() => "{}");
  const { version = "0.0.0" } = JSON.parse(manifest) as { version?: string };
  const native = await stat(new URL("native/build/gantry-native", root)).catch(() => undefined);
  // With an offset instead of "Z", as dockerd writes it.
  const buildTime = native?.mtime.toISOString().replace(/Z$/, "000000+00:00") ?? "";
  return { version, buildId: await commitOf(root), buildTime };
}

/** The commit of a checkout, shortened; "release" in a package. */
async function commitOf(root: URL): Promise<string> {
  const read = (path: string): Promise<string> =>
    readFile(new URL(`.git/${path}`, root), "utf8").then(
      (text) => text.trim(),
      () => "",
    );
  const head = await read("HEAD");
  const commit = head.startsWith("ref: ") ? await read(head.slice(5)) : head;
  return commit === "" ? "release" : commit.slice(0, 7);
}
