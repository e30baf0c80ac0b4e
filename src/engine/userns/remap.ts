// `userns-remap`: whose subordinate ids every container gets, in dockerd's words where it is wrong.
// "default" is the user dockremap, who is given ids where he has none: lines in the two files, so
// that no other program gives the same ones away. No account is made, since nobody logs in and no
// file is ever owned by it.

import { appendFile, readFile } from "node:fs/promises";
import { GantryError, messageOf } from "../../base/index.ts";
import type { IdMaps } from "../../spec/index.ts";
import { firstFree, ID_COUNT, type IdRange, mapInARow } from "./id-ranges.ts";
import { type Account, parseAccounts, parseSubordinate, rangesOf } from "./subid-files.ts";

export interface IdFiles {
  passwd: string;
  group: string;
  subuid: string;
  subgid: string;
}

export const ID_FILES: IdFiles = {
  passwd: "/etc/passwd",
  group: "/etc/group",
  subuid: "/etc/subuid",
  subgid: "/etc/subgid",
};

export interface Remap {
  user: string;
  maps: IdMaps;
}

interface RemapOptions {
  files?: IdFiles;
  warn(message: string): void;
  dry?: boolean;
}

const DEFAULT = "default";
const DEFAULT_USER = "dockremap";
/** As the shadow tools have them: SUB_UID_MIN and SUB_UID_COUNT of login.defs. */
const FIRST = 100_000;
const COUNT = 65_536;

const bad = (message: string, cause?: unknown): GantryError =>
  new GantryError("invalid", message, cause === undefined ? {} : { cause });

/** Undefined where containers are to be root as the host is. Writes nothing if `dry`. Throws
 * invalid. */
export async function openRemap(
  text: string,
  { files = ID_FILES, warn, dry = false }: RemapOptions,
): Promise<Remap | undefined> {
  if (text === "") return undefined;
  const users = parseAccounts(await read(files.passwd));
  const groups = parseAccounts(await read(files.group));
  const user = userOf(text, users, groups);
  if (user.name === "root") {
    warn("User namespaces: root cannot be remapped with itself; user namespaces are OFF");
    return undefined;
  }
  if (text === DEFAULT) {
    const given = await giveRanges(user, files, { dry });
    if (given && dry)
      return { user: user.name, maps: { uid: mapInARow([given]), gid: mapInARow([given]) } };
  }
  const rangesIn = async (path: string): Promise<IdRange[]> => {
    const ranges = rangesOf(parseSubordinate(await read(path)), user);
    if (ranges.length > 0) return ranges;
    const none = `no subuid ranges found for user ${JSON.stringify(user.name)}`;
    throw bad(`Can't create ID mappings: ${none} in ${path}`);
  };
  const maps = {
    uid: mapInARow(await rangesIn(files.subuid)),
    gid: mapInARow(await rangesIn(files.subgid)),
  };
  return { user: user.name, maps };
}

/** USER, UID, USER:GROUP …; the group must exist, the ranges are the user's. Pure. */
export function userOf(
  text: string,
  users: readonly Account[],
  groups: readonly Account[],
): { name: string; id?: number } {
  const parts = text.split(":");
  if (parts.length > 2) {
    throw bad(`Invalid user/group specification in --userns-remap: ${JSON.stringify(text)}`);
  }
  const [first = "", group] = parts;
  const none = (what: string, file: string): string =>
    `getent unable to find entry ${JSON.stringify(what)} in ${file} database`;
  const isNumber = (word: string): boolean => /^\d+$/.test(word);
  const groupNamed = (word: string, what: string): void => {
    const known = groups.some(({ name, id }) =>
      isNumber(word) ? id === Number(word) : name === word,
    );
    if (known) return;
    if (isNumber(word)) {
      throw bad(`Gid ${word} has no entry in /etc/group: ${none(word, "group")}`);
    }
    throw bad(`Error during ${what} lookup for ${JSON.stringify(word)}: ${none(word, "group")}`);
  };
  const name = first === DEFAULT ? DEFAULT_USER : first;
  const user = users.find((one) => (isNumber(name) ? one.id === Number(name) : one.name === name));
  if (!user && first === DEFAULT) return { name };
  if (!user && isNumber(name)) {
    throw bad(`Uid ${name} has no entry in /etc/passwd: ${none(name, "passwd")}`);
  }
  if (!user) {
    const quoted = JSON.stringify(name);
    throw bad(`Error during uid lookup for ${quoted}: ${none(name, "passwd")}`);
  }
  if (group !== undefined) groupNamed(group, "groupname");
  else if (first !== DEFAULT) groupNamed(isNumber(name) ? String(user.id) : name, "gid");
  return user;
}

/** The same range in both files where they have none for the user; returns what was given. */
async function giveRanges(
  user: { name: string; id?: number },
  files: IdFiles,
  { dry }: { dry: boolean },
): Promise<IdRange | undefined> {
  const uids = parseSubordinate(await read(files.subuid));
  const gids = parseSubordinate(await read(files.subgid));
  const [hasUids, hasGids] = [rangesOf(uids, user), rangesOf(gids, user)].map((r) => r.length > 0);
  if (hasUids && hasGids) return undefined;
  const all = [{ start: FIRST, size: ID_COUNT - FIRST }];
  const range = firstFree(all, [...uids, ...gids], COUNT);
  if (!range) throw bad("Can't create ID mappings: all subordinate ids are given away");
  if (dry) return range;
  const line = `${user.name}:${range.start}:${range.size}\n`;
  try {
    if (!hasUids) await append(files.subuid, line);
    if (!hasGids) await append(files.subgid, line);
  } catch (cause) {
    throw bad(
      `Error during ${JSON.stringify(user.name)} user creation: ${messageOf(cause)}; write ` +
        `"${line.trim()}" into ${files.subuid} and ${files.subgid}`,
      cause,
    );
  }
  return range;
}

async function append(path: string, line: string): Promise<void> {
  const before = await read(path);
  const isWhole = before === "" || before.endsWith("\n");
  await appendFile(path, isWhole ? line : `\n${line}`, { mode: 0o644 });
}

/** A file that is not there has no lines. */
export const read = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");
