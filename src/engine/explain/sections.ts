// Facts to what a person reads: the story of a start in the words of the textbooks, section by
// section, each line with the kernel's present state where there is one. Pure.

import { humanBinarySize } from "../../base/index.ts";
import type { ExplainFacts, ExplainItem, ExplainSection } from "../contract.ts";
import type { Check } from "./compare.ts";
import { describeEnd } from "./end-sections.ts";
import { networkLines } from "./sections-network.ts";
import { capabilityLines, hiddenLines, processLines, seccompLines } from "./sections-process.ts";

export type Line = ExplainItem;
export const line = (what: string, says: string): Line => ({ what, says });
export const note = (what: string, says: string): Line => ({ what, says, mark: "note" });

const TITLES = {
  end: "Why it ended",
  image: "Image layers found",
  root: "Union file system assembled",
  namespaces: "Namespaces made",
  cgroups: "Control groups, and the limits that are written",
  mounts: "Mounts, in order",
  devices: "Devices",
  network: "Network",
  process: "The process",
  capabilities: "Capabilities kept and dropped",
  seccomp: "System call filter (seccomp)",
  hidden: "Paths that are hidden or read-only",
  around: "Around it",
} as const;
type SectionId = keyof typeof TITLES;

/** `checks`: what the kernel has now; none for what does not run. */
export function sectionsOf(facts: ExplainFacts, checks: readonly Check[]): ExplainSection[] {
  const lines: Record<SectionId, Line[]> = {
    end: describeEnd(facts.end),
    image: imageLines(facts),
    root: rootLines(facts),
    namespaces: namespaceLines(facts),
    cgroups: cgroupLines(facts),
    mounts: mountLines(facts),
    devices: deviceLines(facts),
    network: networkLines(facts),
    process: processLines(facts),
    capabilities: capabilityLines(facts),
    seccomp: seccompLines(facts),
    hidden: hiddenLines(facts),
    around: aroundLines(facts),
  };
  return (Object.keys(TITLES) as SectionId[])
    .map((id) => ({
      id,
      title: TITLES[id],
      lines: withChecks(
        lines[id],
        checks.filter(({ section }) => section === id),
      ),
    }))
    .filter((section) => section.lines.length > 0);
}

/** A check of which there is no line is told of only where it differs. */
function withChecks(lines: readonly Line[], checks: readonly Check[]): Line[] {
  const left = new Map(checks.map((check) => [check.what, check]));
  const marked = lines.map((one): Line => {
    const check = left.get(one.what);
    if (!check || one.mark) return one;
    left.delete(one.what);
    if (check.same) return { ...one, mark: "same" };
    return { ...one, mark: "differs", live: check.live };
  });
  const more = [...left.values()].filter(({ same }) => !same);
  return [
    ...marked,
    ...more.map(({ what, asked, live }): Line => ({ what, says: asked, mark: "differs", live })),
  ];
}

function imageLines({ image }: ExplainFacts): Line[] {
  const total = image.layers.reduce((sum, { size }) => sum + size, 0);
  const missing = image.layers.filter(({ pullBytes }) => pullBytes !== undefined);
  const fetched = missing.reduce((sum, { pullBytes = 0 }) => sum + pullBytes, 0);
  const where =
    missing.length > 0
      ? `${missing.length} of them to be pulled, ${humanBinarySize(fetched)}`
      : `${humanBinarySize(total)} unpacked, all of them here`;
  const lines = [
    line("image", `${image.reference} (${image.id.slice(0, 19)}), ${image.platform}`),
    line("layers", `${image.layers.length}, ${where}`),
  ];
  if (image.platform.split("/")[1] !== image.hostPlatform.split("/")[1]) {
    lines.push(note("platform", `made for ${image.platform}, this host is ${image.hostPlatform}`));
  }
  for (const [index, layer] of image.layers.entries()) {
    const { diffId, digest = "", size, folder, pullBytes } = layer;
    const says =
      pullBytes === undefined
        ? `${diffId.slice(0, 19)} ${humanBinarySize(size)}, ${folder}`
        : `${digest.slice(0, 19)} ${humanBinarySize(pullBytes)}, would be pulled`;
    lines.push(line(`layer ${index + 1}`, says));
  }
  return lines;
}

function rootLines({ plan, image }: ExplainFacts): Line[] {
  const { root } = plan;
  const access = root.readonly ? "read-only (--read-only)" : "writable";
  if (root.type === "bind") return [line("root", `${root.source} itself, ${access}`)];
  const init = root.lower.length > image.layers.length ? 1 : 0;
  return [
    line("type", `overlay, made detached and attached over "/", ${access}`),
    ...(root.disk ? [line("disk", `${root.disk}: a file system of limited size`)] : []),
    line("upper", `${root.upper}: what the container changes`),
    line("work", root.work),
    ...root.lower.map((folder, index) =>
      line("lower", index < init ? `${folder}: empty mount points` : folder),
    ),
    ...(root.volatile ? [note("volatile", "nothing is synced: it goes with the container")] : []),
  ];
}

const NAMESPACE_WORDS: Readonly<Record<string, string>> = {
  pid: "process numbers: the command is process 1",
  network: "interfaces, addresses, routes, ports, firewall",
  ipc: "System V IPC and POSIX message queues",
  mount: "the tree of mounts",
  uts: "host and domain name",
  user: "users, groups and capabilities",
  cgroup: "the root of the cgroup tree",
  time: "boot and monotonic clocks",
};
const SHARED_BY: Readonly<Record<string, string>> = {
  pid: "--pid host",
  network: "--network host",
  ipc: "--ipc host",
  uts: "--uts host",
  user: "--userns host, the default without userns-remap",
  cgroup: "--cgroupns host, the default on hosts with cgroup v1",
  time: "no clock offsets were asked for",
};

function namespaceLines({ plan, live }: ExplainFacts): Line[] {
  const inode = (type: string) => {
    const found = live?.namespaces.find((one) => one.type === type)?.inode;
    return found ? ` ${found}` : "";
  };
  const lines = plan.namespaces.map(({ type, is, path, by }) => {
    const words = NAMESPACE_WORDS[type];
    if (is === "new") return line(type, `new (${by})${inode(type)}: ${words}`);
    if (is === "joined") return line(type, `joined (${by} ${path})${inode(type)}: ${words}`);
    return line(type, `the host's (${SHARED_BY[type] ?? "shared"})${inode(type)}`);
  });
  if (plan.hostname) lines.push(line("host name", plan.hostname));
  if (plan.domainname) lines.push(line("domain name", plan.domainname));
  for (const { name, value } of plan.sysctls) lines.push(line(`sysctl ${name}`, value));
  if (plan.idMaps.uid) lines.push(line("uid_map", plan.idMaps.uid.replaceAll("\n", ", ")));
  if (plan.idMaps.gid) lines.push(line("gid_map", plan.idMaps.gid.replaceAll("\n", ", ")));
  return lines;
}

function cgroupLines({ plan, live }: ExplainFacts): Line[] {
  const lines = plan.cgroups.map(({ version, controllers, path }) =>
    line(`v${version} ${controllers.join(",") || "unified"}`, path),
  );
  if (plan.limits.length === 0) lines.push(note("limits", "none is written"));
  for (const { file, value } of plan.limits) lines.push(line(file, meaning(file, value)));
  if (live?.memoryBytes !== undefined) {
    lines.push(note("now", `${humanBinarySize(live.memoryBytes)}, ${live.processes} processes`));
  }
  return lines;
}

function meaning(file: string, value: string): string {
  const bytes = /bytes$|^memory\.(max|low|swap\.max)$/.test(file) && /^\d+$/.test(value);
  return bytes ? `${value} (${humanBinarySize(Number(value))})` : value;
}

function mountLines({ plan }: ExplainFacts): Line[] {
  return plan.mounts.map((mount) => {
    const { type, source, options, data, propagation, recursive, idmapped } = mount;
    const own = propagation && propagation !== "rprivate" ? [propagation] : [];
    const all = [...options, ...data, ...own, ...(idmapped ? ["idmapped"] : [])];
    const words = [...new Set(all)].join(",");
    const what = type === "bind" ? `${recursive ? "rbind" : "bind"} of ${source}` : type;
    return line(mount.path, `${what}${words ? ` (${words})` : ""}`);
  });
}

function deviceLines({ plan, container }: ExplainFacts): Line[] {
  const lines = plan.devices.map(({ path, type, major, minor, mode }) =>
    line(path, `${type} ${major}:${minor} ${mode}`),
  );
  const { deviceRules } = plan;
  const allowed = deviceRules.lines.flatMap((text) =>
    text.startsWith("allow ") ? [text.slice("allow ".length)] : [],
  );
  if (container.privileged) lines.push(line("allowed", "every device (--privileged)"));
  else if (allowed.length > 0) lines.push(line("allowed", allowed.join(", ")));
  if (deviceRules.program) lines.push(note("program", "a BPF program decides on access (v2)"));
  return lines;
}

function aroundLines({ container, live }: ExplainFacts): Line[] {
  const { log, restart, autoRemove, health } = container;
  const options = Object.entries(log.options).map(([key, value]) => `${key}=${value}`);
  const logged = options.length > 0 ? ` (${options.join(", ")})` : "";
  const stopping = `${container.stopSignal}, SIGKILL after ${container.stopSeconds} s`;
  return [
    line("logging", `${log.driver}${logged}${log.path ? `: ${log.path}` : ""}`),
    line("restart", autoRemove ? "no; removed when it ends (--rm)" : restart),
    line("health", health || "no check"),
    line("stop", stopping),
    line("monitor", `${container.monitor}: parent of the process, outlives the daemon`),
    ...(live ? [line("descriptors", `${live.descriptors.count} open`)] : []),
  ];
}
