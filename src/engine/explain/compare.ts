// What was asked for beside what the kernel has: one verdict a fact. What the program of the
// container may do to itself (give up capabilities, change folder) is no difference. Pure.

import type { PlanFacts } from "../../runtime/index.ts";
import type { EndpointFacts, ExplainFacts, LiveFacts } from "../contract.ts";

export interface Check {
  section: string;
  what: string;
  asked: string;
  live: string;
  same: boolean;
}

const UNLIMITED = /^(-1|max|9223372036854771712|18446744073709551615)$/;
/** Where the runtime itself mounts more than the plan's list says. */
const OWN_MOUNT = /^\/dev\/console$/;

export function compareLive(
  { plan, network: { endpoints } }: Pick<ExplainFacts, "plan" | "network">,
  live: LiveFacts,
): Check[] {
  return [
    ...namespaces(plan, live),
    ...cgroupFiles(plan, live),
    ...mounts(plan, live),
    ...capabilities(plan, live),
    ...seccomp(plan, live),
    ...processFacts(plan, live),
    ...sysctls(plan, live),
    ...network(live, endpoints),
  ];
}

const check = (section: string, what: string, asked: string, live: string): Check => ({
  section,
  what,
  asked,
  live,
  same: asked === live,
});

function namespaces(plan: PlanFacts, live: LiveFacts): Check[] {
  return plan.namespaces.map(({ type, is }) => {
    const seen = live.namespaces.find((one) => one.type === type);
    const shared = seen?.sharedWithHost ? "the host's" : "its own";
    const asked = is === "host" ? "the host's" : "its own";
    return check("namespaces", type, asked, seen?.inode ? shared : asked);
  });
}

function cgroupFiles(plan: PlanFacts, live: LiveFacts): Check[] {
  const checks: Check[] = [];
  const last = new Map(plan.limits.map((limit) => [`${limit.path}/${limit.file}`, limit]));
  for (const [path, { file, value }] of last) {
    const seen = live.cgroupFiles[path];
    if (seen === undefined || file === "memory.oom_control") continue;
    const now = seen.trim();
    const same = now === value || sameLimit(file, value, now);
    checks.push({ section: "cgroups", what: file, asked: value, live: now, same });
  }
  const list = Object.entries(live.cgroupFiles).find(([path]) => path.endsWith("/devices.list"));
  if (list) checks.push(deviceRules(plan.deviceRules.lines, list[1]));
  return checks;
}

/** The kernel rounds sizes to pages and has several words for "no limit". */
function sameLimit(file: string, asked: string, live: string): boolean {
  if (UNLIMITED.test(asked) && UNLIMITED.test(live)) return true;
  const [a, b] = [Number(asked), Number(live)];
  if (/bytes|memory|swap/.test(file) && Number.isFinite(a) && Number.isFinite(b)) {
    return Math.abs(a - b) < 65_536;
  }
  // One line for each device, or a list of words.
  return live.split("\n").some((line) => line.trim() === asked);
}

function deviceRules(lines: readonly string[], list: string): Check {
  const sorted = (words: string[]) =>
    words
      .filter((word) => word !== "")
      .sort()
      .join(", ");
  const allowed = lines.flatMap((line) => (line.startsWith("allow ") ? [line.slice(6)] : []));
  const asked = allowed.includes("a") ? ["a *:* rwm"] : allowed;
  return check("devices", "allowed", sorted(asked), sorted(list.split("\n")));
}

/** Of several mounts at one path the last is what is seen. */
function mounts(plan: PlanFacts, live: LiveFacts): Check[] {
  const asked = new Map(plan.mounts.map((mount) => [clean(mount.path), mount]));
  const seen = new Map(live.mounts.map((mount) => [mount.path, mount]));
  const checks: Check[] = [];
  for (const [path, mount] of asked) {
    const now = seen.get(path);
    const type = mount.type === "bind" ? "" : mount.type;
    const want = [type, mount.options.includes("ro") ? "ro" : "rw"].filter(Boolean).join(" ");
    const readonly = mount.options.includes("ro") || mount.data.includes("ro");
    const wanted = readonly ? want.replace("rw", "ro") : want;
    const has = now && [type && now.fstype, access(now)].filter(Boolean).join(" ");
    checks.push(check("mounts", path, wanted, has ?? "not mounted"));
  }
  for (const path of live.hideable) {
    const now = seen.get(path);
    const masked = plan.maskedPaths.includes(path);
    const asked = masked ? "covered" : "read-only";
    const has = now && (masked || access(now) === "ro") ? asked : "open";
    checks.push(check("hidden", path, asked, has));
  }
  const own = new Set([...asked.keys(), ...plan.maskedPaths, ...plan.readonlyPaths, "/"]);
  for (const [path, mount] of seen) {
    const ours = own.has(path) || OWN_MOUNT.test(path) || isCgroup(path, plan);
    if (ours || isBelowBind(path, plan)) continue;
    const live_ = `${mount.fstype} ${access(mount)} of ${mount.source}`;
    checks.push({ section: "mounts", what: path, asked: "nothing", live: live_, same: false });
  }
  return checks;
}

const clean = (path: string): string => (path.length > 1 ? path.replace(/\/+$/, "") : path);
const access = ({ options }: { options: readonly string[] }): string =>
  options.includes("ro") ? "ro" : "rw";
const isCgroup = (path: string, plan: PlanFacts): boolean =>
  plan.mounts.some((mount) => mount.path.startsWith("/sys/fs/cgroup")) &&
  path.startsWith("/sys/fs/cgroup");
/** A recursive bind brings the mounts beneath its source along. */
const isBelowBind = (path: string, plan: PlanFacts): boolean =>
  plan.mounts.some(
    (mount) => mount.type === "bind" && mount.recursive && path.startsWith(`${clean(mount.path)}/`),
  );

function capabilities(plan: PlanFacts, live: LiveFacts): Check[] {
  const names = (list: readonly string[]) => list.join(" ") || "none";
  const { bounding } = live.status.capabilities;
  return [check("capabilities", "bounding", names(plan.capabilities.bounding), names(bounding))];
}

function seccomp(plan: PlanFacts, live: LiveFacts): Check[] {
  const words = ["no filter", "strict mode", "a filter"];
  const asked = plan.seccomp ? "a filter" : "no filter";
  return [check("seccomp", "mode", asked, words[live.status.seccompMode] ?? "unknown")];
}

function processFacts({ process }: PlanFacts, live: LiveFacts): Check[] {
  const checks = process.rlimits.map(({ name, soft, hard }) => {
    const now = live.rlimits.find((one) => one.name === name);
    const seen = now ? `${now.soft} / ${now.hard}` : "unknown";
    return check("process", `limit ${name}`, `${soft} / ${hard}`, seen);
  });
  const yes = (value: boolean) => (value ? "set" : "not set");
  const nnp = live.status.noNewPrivileges;
  checks.push({
    ...check("process", "no new privileges", yes(process.noNewPrivileges), yes(nnp)),
    // A program may set it for itself; nothing takes it away.
    same: nnp || !process.noNewPrivileges,
  });
  if (process.oomScoreAdj !== undefined) {
    const asked = String(process.oomScoreAdj);
    checks.push(check("process", "OOM score", asked, String(live.oomScoreAdj)));
  }
  return checks;
}

function sysctls(plan: PlanFacts, live: LiveFacts): Check[] {
  const plain = (value: string | undefined) => (value ?? "").trim().replace(/\s+/g, " ");
  const checks = plan.sysctls.map(({ name, value }) =>
    check("namespaces", `sysctl ${name}`, plain(value), plain(live.sysctls[name])),
  );
  if (plan.hostname !== undefined) {
    checks.push(check("namespaces", "host name", plan.hostname, live.hostname));
  }
  return checks;
}

function network(
  { firewall, network: seen }: LiveFacts,
  endpoints: readonly EndpointFacts[],
): Check[] {
  const interfaces = endpoints.map(({ interfaceName, mac, addresses }) => {
    const now = seen.interfaces.find(({ name }) => name === interfaceName);
    // The kernel adds link-local addresses itself.
    const has = addresses.filter((address) => now?.addresses.includes(address));
    const live = now ? `${now.mac} ${has.join(" ")} ${now.up ? "up" : "down"}` : "not there";
    return check("network", `interface ${interfaceName}`, `${mac} ${addresses.join(" ")} up`, live);
  });
  const broken = firewall
    .filter(({ verdict }) => verdict === "bad")
    .map(({ about, says }) => ({
      section: "network",
      what: about,
      asked: "as it should be",
      live: says,
      same: false,
    }));
  return [...interfaces, ...broken];
}
