// HEALTHCHECK: NONE, or CMD with its times. Durations are nanoseconds, as in the image config.

import { parseDuration } from "../../base/index.ts";
import type { HealthConfig } from "../../spec/index.ts";
import { TextFault } from "./dockerfile-error.ts";
import type { GivenFlags } from "./flag-rules.ts";
import { atRest, type Given } from "./parse-instruction.ts";
import type { Healthcheck } from "./syntax-tree.ts";
import { jsonWords } from "./words.ts";

const TIMES = [
  ["interval", "Interval"],
  ["timeout", "Timeout"],
  ["start-period", "StartPeriod"],
  ["start-interval", "StartInterval"],
] as const;
const TIME_NS_MIN = 1_000_000;

export function parseHealthcheck(given: Given): Healthcheck {
  const { rest, base, flags } = given;
  const [, type, gap, command] = /^(\S*)(\s*)(.*)$/s.exec(rest.text) as unknown as [
    string,
    string,
    string,
    string,
  ];
  if (type === "") throw atRest(given, "HEALTHCHECK requires at least one argument");
  const upper = type.toUpperCase();
  if (upper === "NONE") {
    if (command !== "") throw atRest(given, "HEALTHCHECK NONE takes no arguments");
    return { ...base, kind: "HEALTHCHECK", health: { Test: ["NONE"] } };
  }
  if (upper !== "CMD") {
    const message = `Unknown type ${JSON.stringify(upper)} in HEALTHCHECK (try CMD)`;
    throw new TextFault(message, rest.offset, type.length, "write HEALTHCHECK CMD command");
  }
  if (command === "") throw atRest(given, "Missing command after HEALTHCHECK CMD");
  const offset = rest.offset + type.length + gap.length;
  const words = jsonWords({ text: command, offset });
  if (words?.length === 0) throw atRest(given, "Missing command after HEALTHCHECK CMD");
  const health: HealthConfig = { Test: words ? ["CMD", ...words] : ["CMD-SHELL", command] };
  for (const [flag, field] of TIMES) {
    const time = timeOf(flags, flag);
    if (time > 0) health[field] = time;
  }
  const retries = retriesOf(flags);
  if (retries > 0) health.Retries = retries;
  return { ...base, kind: "HEALTHCHECK", health };
}

function timeOf(flags: GivenFlags, name: string): number {
  const word = flags.word(name);
  if (word === undefined || word.text === "") return 0;
  let time: number;
  try {
    time = parseDuration(word.text);
  } catch (error) {
    throw new TextFault((error as Error).message, word.offset, name.length + 3);
  }
  if (time !== 0 && time < TIME_NS_MIN) {
    const message = `Interval ${JSON.stringify(name)} cannot be less than 1ms`;
    throw new TextFault(message, word.offset, name.length + 3);
  }
  return time;
}

function retriesOf(flags: GivenFlags): number {
  const word = flags.word("retries");
  if (word === undefined || word.text === "") return 0;
  const fault = (message: string) => new TextFault(message, word.offset, "--retries=".length);
  if (!/^[-+]?\d{1,10}$/.test(word.text) || Number(word.text) > 0x7fff_ffff) {
    const quoted = JSON.stringify(word.text);
    throw fault(`strconv.ParseInt: parsing ${quoted}: invalid syntax`);
  }
  const retries = Number(word.text);
  if (retries < 0) throw fault(`--retries cannot be negative (${retries})`);
  return retries;
}
