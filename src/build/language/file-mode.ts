// --chmod of ADD and COPY: octal, or symbolic as chmod(1) reads it ("u=rwX,go-w").

import { TextFault } from "./dockerfile-error.ts";

type Who = "u" | "g" | "o";
interface Clause {
  who: Who[];
  operator: "+" | "-" | "=";
  /** Letters of rwxXst, or one of u, g, o to copy from. */
  permissions: string;
}
export type FileModeChange = { octal: number } | { symbolic: Clause[]; text: string };

const CLAUSE = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/;
const SHIFT: Record<Who, number> = { u: 6, g: 3, o: 0 };

/** Reads the value of --chmod. Throws a TextFault worded as the builder's. */
export function parseFileMode(text: string): FileModeChange {
  const wrong = `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`;
  if (/^[0-7]+$/.test(text)) {
    const octal = Number.parseInt(text, 8);
    if (octal > 0o7777) throw new TextFault(wrong);
    return { octal };
  }
  const symbolic: Clause[] = [];
  for (const clause of text.split(",")) {
    const match = CLAUSE.exec(clause);
    if (match === null) throw new TextFault(wrong, 0, 0, "write 755 or u=rwX,go=rX");
    const letters = match[1] === "" || match[1]!.includes("a") ? "ugo" : match[1]!;
    const who = [...new Set(letters)] as Who[];
    for (const [, operator, permissions] of match[2]!.matchAll(/([-+=])([rwxXstugo]*)/g)) {
      symbolic.push({ who, operator: operator as Clause["operator"], permissions: permissions! });
    }
  }
  return { symbolic, text };
}

/** The permission bits (07777) that a file of mode `current` gets. */
export function changeFileMode(change: FileModeChange, current: number, isFolder: boolean): number {
  if ("octal" in change) return change.octal;
  let mode = current & 0o7777;
  for (const clause of change.symbolic) {
    for (const who of clause.who) mode = changeOne(mode, who, clause, isFolder);
  }
  return mode;
}

function changeOne(mode: number, who: Who, clause: Clause, isFolder: boolean): number {
  const { operator, permissions } = clause;
  let bits = 0;
  let special = 0;
  for (const letter of permissions) {
    if (letter === "r") bits |= 4;
    else if (letter === "w") bits |= 2;
    else if (letter === "x" || (letter === "X" && (isFolder || (mode & 0o111) !== 0))) bits |= 1;
    else if (letter === "s" && who !== "o") special |= who === "u" ? 0o4000 : 0o2000;
    else if (letter === "t") special |= 0o1000;
    else if (letter === "u" || letter === "g" || letter === "o")
      bits |= (mode >> SHIFT[letter]) & 7;
  }
  const wanted = (bits << SHIFT[who]) | special;
  if (operator === "+") return mode | wanted;
  if (operator === "-") return mode & ~wanted;
  const owned = who === "u" ? 0o4700 : who === "g" ? 0o2070 : 0o0007;
  return (mode & ~owned) | wanted;
}
