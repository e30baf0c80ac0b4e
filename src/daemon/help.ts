// `gantry daemon --help`, laid out as pflag does.

import type { FlagSpec } from "../base/index.ts";
import { daemonFlags } from "./config.ts";

export function daemonHelp(): string {
  const rows = Object.entries(daemonFlags)
    .filter(([, spec]) => spec.hidden !== true)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, spec]): [string, string] => [leftOf(name, spec), rightOf(spec)]);
  const width = Math.max(...rows.map(([left]) => left.length)) + 3;
  return [
    "Usage:  gantry daemon [OPTIONS]",
    "",
    "A self-sufficient platform for containers.",
    "",
    "Options:",
    ...rows.map(([left, right]) => `${left.padEnd(width)}${right}`),
    "",
  ].join("\n");
}

function leftOf(name: string, spec: FlagSpec): string {
  const shorthand = spec.shorthand === undefined ? "    " : `-${spec.shorthand}, `;
  const type = spec.valueName ?? (spec.type === "bool" ? "" : spec.type);
  return `  ${shorthand}--${name}${type === "" ? "" : ` ${type}`}`;
}

function rightOf(spec: FlagSpec): string {
  const value = spec.default;
  const shown = value !== undefined && value !== "" && value !== 0 && value !== false;
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return shown ? `${spec.usage ?? ""} (default ${text})` : (spec.usage ?? "");
}
