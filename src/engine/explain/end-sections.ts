// Why a container ended, for people. Pure.

import { humanBinarySize } from "../../base/index.ts";
import type { EndFacts, ExplainItem } from "../contract.ts";

export function describeEnd(end: EndFacts | undefined): ExplainItem[] {
  if (!end) return [];
  const { memory } = end;
  const lines: ExplainItem[] = [
    { what: "because", says: end.says },
    { what: "exit code", says: String(end.exitCode) + (end.signal ? ` (${end.signal})` : "") },
    ...(end.at ? [{ what: "when", says: `${end.at}, after ${end.ranSeconds} s` }] : []),
  ];
  if (end.cause) lines.push({ what: "cause", says: end.cause, mark: "note" });
  if (memory?.limitBytes) {
    const peak = memory.peakBytes ? `, at most ${humanBinarySize(memory.peakBytes)} used` : "";
    lines.push({ what: "memory", says: `limit ${humanBinarySize(memory.limitBytes)}${peak}` });
  }
  if (end.remedy) lines.push({ what: "remedy", says: end.remedy, mark: "note" });
  return lines;
}
