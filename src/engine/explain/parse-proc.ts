// Texts of /proc/<pid>, parsed. Source: proc(5). Pure.

import { capabilitiesOf } from "../../runtime/index.ts";
import type { LiveFacts, ProcessStatus } from "../contract.ts";

/** Field 22 of /proc/<pid>/stat; the name before it may hold anything. */
export function startTicksOf(stat: string): string | undefined {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[19];
}

export function parseStatus(text: string): ProcessStatus {
  const fields = new Map(
    text.split("\n").map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
  const field = (name: string) => fields.get(name) ?? "";
  // Real, effective, saved and file system ids.
  const effective = (name: string) => Number(field(name).split(/\s+/)[1] ?? 0);
  const capabilities = (name: string) => capabilitiesOf(BigInt(`0x${field(name) || "0"}`));
  return {
    uid: effective("Uid"),
    gid: effective("Gid"),
    groups: field("Groups").split(/\s+/).filter(Boolean).map(Number),
    capabilities: {
      bounding: capabilities("CapBnd"),
      effective: capabilities("CapEff"),
      permitted: capabilities("CapPrm"),
      inheritable: capabilities("CapInh"),
      ambient: capabilities("CapAmb"),
    },
    seccompMode: Number(field("Seccomp") || 0),
    seccompFilters: Number(field("Seccomp_filters") || 0),
    noNewPrivileges: field("NoNewPrivs") === "1",
    threads: Number(field("Threads") || 0),
  };
}

const LIMIT_NAMES: Readonly<Record<string, string>> = {
  "Max cpu time": "CPU",
  "Max file size": "FSIZE",
  "Max data size": "DATA",
  "Max stack size": "STACK",
  "Max core file size": "CORE",
  "Max resident set": "RSS",
  "Max processes": "NPROC",
  "Max open files": "NOFILE",
  "Max locked memory": "MEMLOCK",
  "Max address space": "AS",
  "Max file locks": "LOCKS",
  "Max pending signals": "SIGPENDING",
  "Max msgqueue size": "MSGQUEUE",
  "Max nice priority": "NICE",
  "Max realtime priority": "RTPRIO",
  "Max realtime timeout": "RTTIME",
};

/** /proc/<pid>/limits has columns of fixed width. */
export function parseLimits(text: string): LiveFacts["rlimits"] {
  return text.split("\n").flatMap((line) => {
    const match = /^(Max .+?)\s{2,}(\S+)\s+(\S+)/.exec(line);
    const name = match && LIMIT_NAMES[match[1]!];
    return name ? [{ name, soft: match[2]!, hard: match[3]! }] : [];
  });
}
