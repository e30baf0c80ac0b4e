// Signals by name or number.

import { constants } from "node:os";
import { GantryError } from "../base/index.ts";

const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** "KILL", "SIGKILL", "kill", "9", "RTMIN+3". Throws invalid for what is none. */
export function signalNumber(text: string): number {
  const name = text.toUpperCase().replace(/^SIG/, "");
  const number = constants.signals[`SIG${name}` as NodeJS.Signals];
  if (number !== undefined) return number;
  const real = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name);
  if (real) {
    const offset = Number(real[3] ?? 0) * (real[2] === "-" ? -1 : 1);
    const value = (real[1] === "MIN" ? SIGRTMIN : SIGRTMAX) + offset;
    if (value >= SIGRTMIN && value <= SIGRTMAX) return value;
  }
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > SIGRTMAX) {
    throw new GantryError("invalid", `unknown signal ${JSON.stringify(text)}`);
  }
  return value;
}
