// `--user` in the terms of a container's own /etc/passwd and /etc/group, by the rules of docker
// (moby/sys/user): a name or number, optionally with a group; numbers need no entry. Pure.

import { GantryError } from "../../base/index.ts";

export interface ResolvedUser {
  uid: number;
  gid: number;
  /** The primary group first, then those that list the user (none when a group was given). */
  additionalGids: number[];
  home: string;
  username: string;
}

const ID_MAX = 2 ** 31 - 1;

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  home: string;
}
interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

/** Throws invalid with docker's wording when a name has no entry. */
export function resolveUser(
  user: string,
  accounts: { passwd: string; group: string },
): ResolvedUser {
  const [userPart = "", groupPart = ""] = splitOnce(user);
  const wanted = userPart === "" ? "0" : userPart;
  // A number is never a name: an image could call its root "1000" (CVE-2016-3697).
  const number = numberOf(wanted);
  const entry = parsePasswd(accounts.passwd).find(({ name, uid }) =>
    number === undefined ? name === wanted : uid === number,
  );
  const uid = entry?.uid ?? number;
  if (uid === undefined) {
    throw new GantryError(
      "invalid",
      `unable to find user ${userPart}: no matching entries in passwd file`,
    );
  }
  const groups = parseGroup(accounts.group);
  let gid = entry?.gid ?? 0;
  let more: number[] = [];
  if (groupPart !== "") gid = findGroup(groupPart, groups);
  else if (entry) {
    more = groups.filter(({ members }) => members.includes(entry.name)).map((group) => group.gid);
  }
  checkRange(uid);
  checkRange(gid);
  return {
    uid,
    gid,
    additionalGids: [...new Set([gid, ...more])],
    home: entry?.home || "/",
    username: entry?.name ?? "",
  };
}

/** The ids of `--group-add`: names of the container's group file, or numbers. */
export function resolveGroups(names: readonly string[], group: string): number[] {
  const groups = parseGroup(group);
  return names.map((name) => {
    const number = numberOf(name) ?? groups.find((g) => g.name === name)?.gid;
    if (number === undefined)
      throw new GantryError(
        "invalid",
        `unable to find group ${name}: no matching entries in group file`,
      );
    checkRange(number);
    return number;
  });
}

function findGroup(wanted: string, groups: readonly GroupEntry[]): number {
  const gid = numberOf(wanted) ?? groups.find(({ name }) => name === wanted)?.gid;
  if (gid === undefined) {
    throw new GantryError(
      "invalid",
      `unable to find group ${wanted}: no matching entries in group file`,
    );
  }
  return gid;
}

function splitOnce(text: string): string[] {
  const colon = text.indexOf(":");
  return colon < 0 ? [text] : [text.slice(0, colon), text.slice(colon + 1)];
}

function numberOf(text: string): number | undefined {
  return /^-?\d+$/.test(text) ? Number(text) : undefined;
}

function checkRange(id: number): void {
  if (id >= 0 && id <= ID_MAX) return;
  throw new GantryError("invalid", `uids and gids must be in range 0-${ID_MAX}`);
}

function parsePasswd(text: string): PasswdEntry[] {
  return fields(text).flatMap(([name = "", , uid, gid, , home = ""]) =>
    name === "" ? [] : [{ name, uid: Number(uid) || 0, gid: Number(gid) || 0, home }],
  );
}

function parseGroup(text: string): GroupEntry[] {
  return fields(text).flatMap(([name = "", , gid, members = ""]) =>
    name === "" ? [] : [{ name, gid: Number(gid) || 0, members: members.split(",") }],
  );
}

function fields(text: string): string[][] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));
}
