// What this program says of itself: the version of package.json, and the commit where known.

import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { programRoot } from "../base/index.ts";

export interface Program {
  version: string;
  buildId: string;
}

export async function program(): Promise<Program> {
  const root = pathToFileURL(`${programRoot()}/`);
  const manifest = await readFile(new URL("package.json", root), "utf8").catch(() => "{}");
  const { version = "0.0.0" } = JSON.parse(manifest) as { version?: string };
  return { version, buildId: await commitOf(root) };
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
