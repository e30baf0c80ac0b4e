// One daemon to a data root. The lock is an exclusive transaction of SQLite on a file of its own:
// a POSIX lock that the kernel releases with the process, whatever happens to it, and that holds
// across pid and network namespaces.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { GantryError } from "../base/index.ts";

/** Locks `dataRoot`, which is created if need be. Throws conflict while another daemon has it. */
export async function lockDataRoot(dataRoot: string): Promise<{ release(): void }> {
  await mkdir(dataRoot, { recursive: true, mode: 0o711 });
  const holder = join(dataRoot, "daemon.pid");
  const database = new DatabaseSync(join(dataRoot, "daemon.lock"), { timeout: 0 });
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    database.close();
    const pid = (await readFile(holder, "utf8").catch(() => "")).trim();
    const who = pid === "" ? "another daemon" : `another daemon (process ${pid})`;
    throw new GantryError(
      "conflict",
      `${who} uses the data root ${dataRoot}: stop it, or choose another --data-root`,
      { cause },
    );
  }
  await writeFile(holder, `${process.pid}\n`);
  return { release: () => database.close() };
}
