// One daemon to a data root, and to an exec root, whose monitors boot would take for strays. The
// lock is an exclusive transaction of SQLite on a file of its own: a POSIX lock that the kernel
// releases with the process, whatever happens to it, and that holds across pid and network
// namespaces.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { GantryError, messageOf } from "../base/index.ts";

const SQLITE_BUSY = 5;

/** Locks `root`, which is created if need be. Throws conflict while another daemon has it. */
export async function lockRoot(kind: "data" | "exec", root: string): Promise<{ release(): void }> {
  await mkdir(root, { recursive: true, mode: 0o711 });
  const holder = join(root, "daemon.pid");
  const database = new DatabaseSync(join(root, "daemon.lock"), { timeout: 0 });
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    database.close();
    if ((cause as { errcode?: number }).errcode !== SQLITE_BUSY) {
      const what = `cannot lock the ${kind} root ${root} by its daemon.lock`;
      throw new GantryError("internal", `${what}: ${messageOf(cause)}`, { cause });
    }
    const pid = (await readFile(holder, "utf8").catch(() => "")).trim();
    const who = pid === "" ? "another daemon" : `another daemon (process ${pid})`;
    throw new GantryError(
      "conflict",
      `${who} uses the ${kind} root ${root}: stop it, or choose another --${kind}-root`,
      { cause },
    );
  }
  await writeFile(holder, `${process.pid}\n`).catch(() => {}); // the disk is full
  return { release: () => void (database.isOpen && database.close()) };
}
