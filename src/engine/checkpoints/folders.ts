// Where checkpoints are: <container's folder>/checkpoints/<name>, or beneath a folder that the
// user names. The wording is dockerd's.

import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { errnoOf, GantryError } from "../../base/index.ts";
import { FACTS_FILE } from "../../runtime/index.ts";
import type { ContainerRecord } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { Checkpoint } from "../contract.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

export function checkName(name: string): void {
  if (NAME.test(name)) return;
  throw new GantryError(
    "invalid",
    `Invalid checkpoint ID (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
  );
}

export function checkpointsFolder(engine: EngineContext, c: ContainerRecord, dir = ""): string {
  if (dir === "") return join(engine.paths.container(c.id).dir, "checkpoints");
  if (!isAbsolute(dir)) {
    throw new GantryError("invalid", `checkpoint directory ${dir} must be an absolute path`);
  }
  return dir;
}

/** The last file that CRIU writes: a folder without is what a daemon that was killed left. */
const LAST_FILE = "inventory.img";

/** Makes the folder of a new checkpoint; throws conflict when there is one of that name. */
export async function makeFolder(
  parent: string,
  name: string,
  c: ContainerRecord,
): Promise<string> {
  const folder = join(parent, name);
  await mkdir(parent, { recursive: true, mode: 0o700 });
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (cause) {
    if (errnoOf(cause) !== "EEXIST") throw cause;
    const exists = await isFolder(folder);
    if (exists && (await isUnfinished(folder, c))) {
      await removeFolder(folder);
      return await makeFolder(parent, name, c);
    }
    const message = exists
      ? `checkpoint with name ${name} already exists for container ${c.name}`
      : `${folder} exists and is not a directory`;
    throw new GantryError("conflict", `cannot checkpoint container ${c.name}: ${message}`, {
      cause,
    });
  }
  return folder;
}

/** The folder of a checkpoint that must be there. */
export async function findFolder(
  parent: string,
  name: string,
  c: ContainerRecord,
): Promise<string> {
  checkName(name);
  const folder = join(parent, name);
  if (await isFolder(folder)) return folder;
  throw new GantryError("not-found", `checkpoint ${name} does not exist for container ${c.name}`);
}

export async function listFolders(parent: string): Promise<Checkpoint[]> {
  const entries = await readdir(parent, { withFileTypes: true }).catch((error) => {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const begun = await Promise.all(names.map((name) => isBegun(join(parent, name))));
  return names.filter((_, index) => !begun[index]).map((Name) => ({ Name }));
}

/** A dump of ours that has not come to its end. */
const isBegun = async (folder: string): Promise<boolean> =>
  (await isFile(join(folder, FACTS_FILE))) && !(await isFile(join(folder, LAST_FILE)));

/** A folder in which nothing but a dump of this container was begun. */
async function isUnfinished(folder: string, c: ContainerRecord): Promise<boolean> {
  if (!(await isBegun(folder))) return (await readdir(folder)).length === 0;
  const facts = await readFile(join(folder, FACTS_FILE), "utf8");
  return facts === "" || facts.includes(`"containerId":"${c.id}"`);
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}
