// /etc/passwd, /etc/group, /etc/subuid and /etc/subgid: who has which subordinate ids (subuid(5)).
// Pure: texts come in.

import { ID_COUNT, type IdRange } from "./id-ranges.ts";

export interface SubordinateRange extends IdRange {
  /** A name or a number. */
  owner: string;
}

/** Lines that say nothing are left out, as the shadow tools do. */
export function parseSubordinate(text: string): SubordinateRange[] {
  return rowsOf(text).flatMap(([owner = "", first = "", count = ""]) => {
    if (owner === "" || !/^\d+$/.test(first) || !/^\d+$/.test(count)) return [];
    const [start, size] = [Number(first), Number(count)];
    return size > 0 && start + size <= ID_COUNT ? [{ owner, start, size }] : [];
  });
}

/** The ranges of a user, by number and by name, in the order of the file. */
export function rangesOf(
  all: readonly SubordinateRange[],
  user: { name: string; id?: number },
): IdRange[] {
  return all
    .filter(({ owner }) => owner === user.name || owner === String(user.id))
    .map(({ start, size }) => ({ start, size }));
}

export interface Account {
  name: string;
  id: number;
}

/** Name and number of each line of /etc/passwd or /etc/group. */
export function parseAccounts(text: string): Account[] {
  return rowsOf(text).flatMap(([name = "", , id = ""]) =>
    name !== "" && /^\d+$/.test(id) ? [{ name, id: Number(id) }] : [],
  );
}

function rowsOf(text: string): string[][] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":").map((field) => field.trim()));
}
