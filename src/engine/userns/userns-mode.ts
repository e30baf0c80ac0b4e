// HostConfig.UsernsMode: "" (the daemon's default), "host", "private", "auto" with podman's
// options, "container:REF". Pure.

import { GantryError } from "../../base/index.ts";
import type { OciIdMapping } from "../../spec/index.ts";
import { hostRanges, ID_COUNT, overlaps } from "./id-ranges.ts";

export type UsernsMode =
  | { kind: "default" | "host" | "private" }
  | AutoMode
  | { kind: "container"; ref: string };

export interface AutoMode {
  kind: "auto";
  /** How many ids the namespace has. */
  size: number;
  /** Ids that are to be certain ones of the host. */
  uid: OciIdMapping[];
  gid: OciIdMapping[];
}

/** All ids of 16 bits: "nobody" is among them. */
const SIZE_DEFAULT = 65_536;
const SIZE_MAX = 2 ** 31;
/** The kernel takes 340 lines, and each of these may part a gap in two. */
const GIVEN_MAX = 64;

/** Throws invalid. */
export function parseUsernsMode(text: string): UsernsMode {
  if (text === "") return { kind: "default" };
  if (text === "host" || text === "private") return { kind: text };
  if (text.startsWith("container:") && text.length > "container:".length) {
    return { kind: "container", ref: text.slice("container:".length) };
  }
  const [, options] = /^auto(?::(.*))?$/s.exec(text) ?? [undefined, undefined, false];
  if (text === "auto" || options) return parseAuto(text, options || "");
  throw new GantryError("invalid", `invalid user namespace mode: ${text}`);
}

function parseAuto(text: string, options: string): AutoMode {
  const bad = (why: string): GantryError =>
    new GantryError("invalid", `invalid user namespace mode: ${text}: ${why}`);
  const mode: AutoMode = { kind: "auto", size: SIZE_DEFAULT, uid: [], gid: [] };
  for (const option of options === "" ? [] : options.split(",")) {
    const [name, value = ""] = splitOnce(option);
    if (name === "size") {
      mode.size = Number(value);
      const isSize = /^\d+$/.test(value) && mode.size > 0 && mode.size <= SIZE_MAX;
      if (!isSize) throw bad(`size must be a number from 1 to ${SIZE_MAX}`);
    } else if (name === "uidmapping" || name === "gidmapping") {
      const list = name === "uidmapping" ? mode.uid : mode.gid;
      list.push(mappingOf(value, bad));
    } else {
      throw bad(
        `unknown option ${JSON.stringify(name)}: size, uidmapping and gidmapping are known`,
      );
    }
  }
  for (const list of [mode.uid, mode.gid]) checkGiven(list, bad);
  return mode;
}

function splitOnce(text: string): [string, string?] {
  const at = text.indexOf("=");
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** CONTAINER_ID:HOST_ID[:SIZE] */
function mappingOf(text: string, bad: (why: string) => GantryError): OciIdMapping {
  const [containerID = -1, hostID = -1, size = 1, ...more] = text.split(":").map(idOf);
  const isMapping = containerID >= 0 && hostID >= 0 && size > 0 && more.length === 0;
  const fits = containerID + size <= ID_COUNT && hostID + size <= ID_COUNT;
  if (!isMapping || !fits) throw bad(`${JSON.stringify(text)} is not CONTAINER_ID:HOST_ID:SIZE`);
  // Files of root, /proc/sys among them, are its owner's without any capability.
  if (hostID === 0) throw bad("root of the host cannot be mapped: use --userns=host");
  return { containerID, hostID, size };
}

const idOf = (text: string): number => (/^\d{1,10}$/.test(text) ? Number(text) : -1);

function checkGiven(list: readonly OciIdMapping[], bad: (why: string) => GantryError): void {
  if (list.length > GIVEN_MAX) throw bad(`more than ${GIVEN_MAX} mappings`);
  const inside = list.map((m) => ({ start: m.containerID, size: m.size }));
  for (const ranges of [inside, hostRanges(list)]) {
    const twice = ranges.some((a, i) => ranges.some((b, k) => i < k && overlaps(a, b)));
    if (twice) throw bad("an id is mapped twice");
  }
}
