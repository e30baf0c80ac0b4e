// "No such container: wbe": the name that was probably meant, from what the daemon has.

import { containers, images, networks, type Source, volumes } from "./complete/sources.ts";
import type { Session } from "./session.ts";
import { likely } from "./suggest.ts";

const MISSING: readonly { error: RegExp; source: Source; untagged?: boolean }[] = [
  { error: /No such container: (\S+)/, source: containers() },
  { error: /No such image: (\S+)/, source: images, untagged: true },
  { error: /network (\S+) not found/, source: networks },
  { error: /get (\S+): no such volume/, source: volumes },
];
const NAMES_MAX = 3;
/** "nope" is near to it, and nobody looks for it. */
const NO_NETWORK = "none";

/** Names near to those that the errors say are missing; none where nothing is near, or known. */
export async function nearNames(session: Session, errors: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  for (const error of errors) {
    for (const { error: pattern, source, untagged } of MISSING) {
      const missing = pattern.exec(error)?.[1];
      if (missing === undefined) continue;
      const words = { flags: new Map(), args: [] };
      const known = await source({ session, words, prefix: "" }).catch(() => []);
      const names = known.map(({ value }) => value).filter((value) => value !== NO_NETWORK);
      const name = untagged ? nearImage(missing, names) : likely(missing, names);
      if (name !== undefined) found.add(name);
    }
    if (found.size >= NAMES_MAX) break;
  }
  return [...found];
}

/** As for names, but the tag may be what is wrong, or may have been left out. */
function nearImage(missing: string, known: readonly string[]): string | undefined {
  const [repository, tag] = split(missing);
  const sameName = known.filter((one) => split(one)[0] === repository);
  if (sameName.length > 0) {
    return likely(
      tag,
      sameName.map((one) => split(one)[1]),
    ) === undefined
      ? sameName[0]
      : sameName.find((one) => split(one)[1] === likely(tag, [split(one)[1]]));
  }
  const near = likely(repository, new Set(known.map((one) => split(one)[0])));
  return known.find((one) => split(one)[0] === near);
}

function split(reference: string): [repository: string, tag: string] {
  const colon = reference.lastIndexOf(":");
  if (colon < 0 || reference.indexOf("/", colon) >= 0) return [reference, "latest"];
  return [reference.slice(0, colon), reference.slice(colon + 1)];
}
