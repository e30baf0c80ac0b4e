// Files for a test: a build's context, a project.

import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Writes them beneath a folder, with the folders that they are in. */
export async function writeFiles(
  folder: string,
  files: Readonly<Record<string, string | Buffer>>,
): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}
