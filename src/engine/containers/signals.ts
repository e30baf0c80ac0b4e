// Signal names and numbers as docker accepts them: "TERM", "SIGTERM", "15", "RTMIN+3".

import { constants } from "node:os";
import { GantryError } from "../../base/index.ts";

export const SIGKILL = 9;
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** Returns the number; throws invalid with docker's wording, which begins with `what` failed. */
export function parseSignal(text: string, what = ""): number {
  const number = /^-?\d+$/.test(text) ? Number(text) : named(text.toUpperCase());
  if (number === undefined || number === 0) {
    throw new GantryError("invalid", `${what}invalid signal: ${text}`);
  }
  if (number < 1 || number > SIGRTMAX) {
    throw new GantryError("invalid", `${what}the linux daemon does not support signal ${number}`);
  }
  return number;
}

function named(upper: string): number | undefined {
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const realtime = /^SIGRTM(IN|AX)(?:([+-])(\d+))?$/.exec(name);
  if (!realtime) return (constants.signals as Record<string, number>)[name];
  const [, end, sign, offset = "0"] = realtime;
  if (end === "IN" && sign !== "-") return SIGRTMIN + Number(offset);
  if (end === "AX" && sign !== "+") return SIGRTMAX - Number(offset);
  return undefined;
}
