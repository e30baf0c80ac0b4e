// Which rows of ours are weaker than Docker's. Every group of the probe has an order of its own:
// less is visible, less is writable, fewer calls get through. Pure.
//
// The recorded side may come from another kernel than ours runs on. So only what a container is
// given is judged, never what a kernel has: a call that this kernel lacks, a file that the other
// kernel did not have, or a limit that comes from whoever started the daemon.

import type { Rows } from "./probe.ts";

export type Verdict = "same" | "stricter" | "weaker" | "not judged";
export interface Judged {
  group: string;
  key: string;
  docker: string;
  ours: string;
  verdict: Verdict;
}

const NONE = "–";
type Judge = (docker: string, ours: string, where: { key: string; theirs: Rows }) => Verdict;

/** Ranks: the lower the stricter. Values that are not named are `otherwise`. */
function ranked(ranks: Record<string, number>, otherwise = 9): Judge {
  const rank = (value: string) => ranks[value] ?? otherwise;
  return (docker, ours) => {
    if (rank(ours) === rank(docker)) return "same";
    return rank(ours) < rank(docker) ? "stricter" : "weaker";
  };
}

const BLOCKED = { EPERM: 0, ENOSYS: 0, SIGSYS: 0, [NONE]: 0 };
/** That a kernel lacks an address family is no filter: only EPERM is. */
const FAMILY = { EPERM: 0, SIGSYS: 0, [NONE]: 0 };

const capabilities: Judge = (docker, ours) => {
  if (docker === ours) return "same";
  if (docker === "all of the daemon's") return "stricter";
  if (ours === "all of the daemon's") return "weaker";
  const more = BigInt(`0x${ours}`) & ~BigInt(`0x${docker}`);
  return more === 0n ? "stricter" : "weaker";
};

/** An extra writable file is weaker, if the recorded kernel had such a file at all. */
const writable: Judge = (docker, ours, { key, theirs }) => {
  if (docker === ours) return "same";
  if (ours === NONE) return "stricter";
  if (theirs["proc write"]?.["/"] === "writable") return "not judged";
  const top = key.split("/").slice(0, 3).join("/");
  const known = key === "/" || theirs["proc there"]?.[top] !== undefined;
  return known || key.startsWith("/proc/sys/") ? "weaker" : "not judged";
};

/** The recorded runc is older than Docker's profile: what the profile allows is Docker's. */
const call: Judge = (docker, ours, where) => {
  const verdict = ranked(BLOCKED)(docker, ours, where);
  const allowed = where.theirs["profile"]?.[where.key] !== undefined;
  return verdict === "weaker" && docker === "ENOSYS" && allowed ? "not judged" : verdict;
};

const flagsOf = (mount: string) => new Set((mount.split(" ")[1] ?? "").split(","));
const SAFE_FLAGS = ["ro", "nosuid", "nodev", "noexec"];

const mounts: Judge = (docker, ours, { key }) => {
  if (docker === ours) return "same";
  if (ours === NONE || docker === NONE) {
    // What is masked is judged by whether it can be read; hierarchies are the machine's.
    if (/^\/(proc|sys)\//.test(key)) return "not judged";
    return docker === NONE ? "weaker" : "not judged";
  }
  if (ours.endsWith(" shared") && !docker.endsWith(" shared")) return "weaker";
  const [theirFlags, ourFlags] = [flagsOf(docker), flagsOf(ours)];
  const missing = SAFE_FLAGS.filter((flag) => theirFlags.has(flag) && !ourFlags.has(flag));
  if (missing.length > 0) return "weaker";
  const more = SAFE_FLAGS.filter((flag) => ourFlags.has(flag) && !theirFlags.has(flag));
  return more.length > 0 ? "stricter" : "same";
};

const PROCESS: Record<string, Judge> = {
  NoNewPrivs: ranked({ "1": 0, "0": 1 }),
  Seccomp: ranked({ "2": 0, "1": 0, "0": 1 }),
  AppArmor: ranked({ unconfined: 1, [NONE]: 1 }, 0),
  "further descriptors": (docker, ours) => compareNumbers(Number(docker), Number(ours)),
  Uid: (docker, ours) => (docker === ours ? "same" : "weaker"),
  Gid: (docker, ours) => (docker === ours ? "same" : "weaker"),
  Groups: (docker, ours) => (docker === ours ? "same" : "weaker"),
  "uid map": (docker, ours) =>
    docker === ours ? "same" : isIdentity(ours) ? "weaker" : "stricter",
};

function compareNumbers(docker: number, ours: number): Verdict {
  if (docker === ours) return "same";
  return ours < docker ? "stricter" : "weaker";
}

const isIdentity = (map: string): boolean => /^0\s+0\s+4294967295$/.test(map);
const notJudged: Judge = (docker, ours) => (docker === ours ? "same" : "not judged");

const GROUPS: Record<string, Judge> = {
  namespace: ranked({ own: 0, [NONE]: 0, "the host's": 1 }),
  capabilities,
  process: (docker, ours, where) => (PROCESS[where.key] ?? notJudged)(docker, ours, where),
  limit: notJudged,
  keyring: ranked({ ...BLOCKED, ENOKEY: 0 }),
  unshare: ranked(BLOCKED),
  socket: ranked(FAMILY),
  call,
  personality: ranked(BLOCKED),
  // A kernel without that ABI ends the caller.
  i386: ranked({ ...BLOCKED, died: 0 }),
  x32: ranked({ ...BLOCKED, died: 0 }),
  "proc there": () => "same",
  reads: ranked({ none: 0, closed: 0, empty: 0, [NONE]: 0, text: 1 }),
  "proc write": writable,
  "sys write": writable,
  "cgroup write": (docker, ours) =>
    docker === ours ? "same" : ours === NONE ? "stricter" : "not judged",
  mount: mounts,
  device: ranked({ "no node": 0, EPERM: 1 }),
  dev: (docker, ours) => (docker === ours ? "same" : ours === NONE ? "stricter" : "weaker"),
  bench: ranked({ pass: 0, warn: 1, [NONE]: 1 }),
};

export function judge(docker: Rows, ours: Rows): Judged[] {
  const judged: Judged[] = [];
  for (const [group, rule] of Object.entries(GROUPS)) {
    const [theirs, own] = [docker[group] ?? {}, ours[group] ?? {}];
    for (const key of new Set([...Object.keys(theirs), ...Object.keys(own)])) {
      const [theirValue, ourValue] = [theirs[key] ?? NONE, own[key] ?? NONE];
      const verdict = rule(theirValue, ourValue, { key, theirs: docker });
      judged.push({ group, key, docker: theirValue, ours: ourValue, verdict });
    }
  }
  return judged;
}

export const weaker = (docker: Rows, ours: Rows): Judged[] =>
  judge(docker, ours).filter(({ verdict }) => verdict === "weaker");
