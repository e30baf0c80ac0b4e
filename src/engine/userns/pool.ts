// Where the ranges of `--userns=auto` come from: the daemon's key "userns-pool", else what
// /etc/subuid and /etc/subgid give the user "gantry", else ids that no convention gives to anybody.
// What the two files give to others is never handed out.

import { GantryError } from "../../base/index.ts";
import { ID_COUNT, type IdRange, subtract } from "./id-ranges.ts";
import { ID_FILES, type IdFiles, read } from "./remap.ts";
import { parseSubordinate, rangesOf } from "./subid-files.ts";

export interface Pool {
  uid: IdRange[];
  gid: IdRange[];
  /** For messages: where it comes from. */
  source: string;
}

/** Between the ids that systemd gives to its containers and its foreign ids, above those that
 * useradd gives to people, below 2^31: 4094 namespaces of 65536 ids. */
const UNCLAIMED: IdRange = { start: 1_879_048_192, size: 4094 * 65_536 };
const OWNER = "gantry";

const bad = (text: string, why: string): GantryError =>
  new GantryError("invalid", `invalid userns-pool ${JSON.stringify(text)}: ${why}`);

/** `text`: "START:COUNT[,START:COUNT…]", the name of a user of the two files, or "". */
export async function openPool(
  text: string,
  { files = ID_FILES }: { files?: IdFiles } = {},
): Promise<Pool> {
  const subuid = parseSubordinate(await read(files.subuid));
  const subgid = parseSubordinate(await read(files.subgid));
  const others = (name: string) => ({
    uid: subuid.filter(({ owner }) => owner !== name),
    gid: subgid.filter(({ owner }) => owner !== name),
  });
  const name = text === "" ? OWNER : text;
  const own = { uid: rangesOf(subuid, { name }), gid: rangesOf(subgid, { name }) };
  if (/^\d/.test(text)) {
    const ranges = parseRanges(text);
    const taken = others("");
    return { uid: subtract(ranges, taken.uid), gid: subtract(ranges, taken.gid), source: text };
  }
  if (own.uid.length > 0 && own.gid.length > 0) {
    const taken = others(name);
    const source = `the ranges of ${JSON.stringify(name)} in ${files.subuid} and ${files.subgid}`;
    return { uid: subtract(own.uid, taken.uid), gid: subtract(own.gid, taken.gid), source };
  }
  if (text !== "") {
    throw bad(text, `${files.subuid} and ${files.subgid} have no ranges of that name`);
  }
  const taken = others("");
  const pool = { uid: subtract([UNCLAIMED], taken.uid), gid: subtract([UNCLAIMED], taken.gid) };
  return { ...pool, source: `${UNCLAIMED.start}:${UNCLAIMED.size}` };
}

/** Pure. */
export function parseRanges(text: string): IdRange[] {
  const ranges = text.split(",").map((part): IdRange => {
    const [, start = "", size = ""] = /^(\d{1,10}):(\d{1,10})$/.exec(part.trim()) ?? [];
    const range = { start: Number(start), size: Number(size) };
    if (start === "" || range.size === 0 || range.start + range.size > ID_COUNT) {
      throw bad(text, "ranges are START:COUNT[,START:COUNT…]");
    }
    if (range.start < 1) throw bad(text, "root of the host is not to be given away");
    return range;
  });
  return ranges.sort((a, b) => a.start - b.start);
}
