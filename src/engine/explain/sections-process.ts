// The sections about the process itself: who it is, what it may do, what it cannot see. Pure.

import { capabilityNames } from "../../runtime/index.ts";
import type { ExplainFacts } from "../contract.ts";
import { type Line, line, note } from "./sections.ts";

const NAMES_SHOWN_MAX = 40;
const short = (names: readonly string[]) => names.map((name) => name.replace(/^CAP_/, ""));

/** The host's number of an id, by the lines of a uid_map. */
function outside(map: string, id: number): number {
  for (const text of map.split("\n")) {
    const [first = 0, host = 0, size = 0] = text.split(" ").map(Number);
    if (id >= first && id < first + size) return host + id - first;
  }
  return id;
}

export function processLines({ plan, container, live }: ExplainFacts): Line[] {
  const { process } = plan;
  const entry = container.entrypoint.join(" ");
  const lines = [
    line("command", process.argv.map(quoted).join(" ")),
    line("from", entry ? `entrypoint ${entry}, command ${container.command.join(" ")}` : "command"),
    ...(container.init ? [note("init", "docker-init is process 1 and starts the command")] : []),
    line("user", `${process.uid}:${process.gid}${container.user ? ` (${container.user})` : ""}`),
    line("groups", process.groups.join(" ") || "none"),
    line("folder", process.cwd),
    line("environment", `${process.env.length} variables`),
    line("terminal", process.terminal ? "a new pty is its terminal" : "none: pipes"),
    line("no new privileges", process.noNewPrivileges ? "set" : "not set"),
    ...process.rlimits.map(({ name, soft, hard }) =>
      line(`limit ${name}`, `${soft} (soft), ${hard} (hard)`),
    ),
  ];
  if (process.oomScoreAdj !== undefined) {
    lines.push(line("OOM score", String(process.oomScoreAdj)));
  }
  if (container.apparmor) lines.push(line("AppArmor", container.apparmor));
  if (container.selinux) lines.push(line("SELinux", container.selinux));
  if (live) {
    lines.push(note("now", `pid ${live.pid} runs ${live.executable || live.command[0] || "?"}`));
    const { uid, gid } = live.status;
    const { idMaps } = plan;
    if (uid !== outside(idMaps.uid, process.uid) || gid !== outside(idMaps.gid, process.gid)) {
      lines.push(note("user now", `${uid}:${gid}: the program changed it itself`));
    }
  }
  return lines;
}

const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word);

export function capabilityLines({ plan, container, live }: ExplainFacts): Line[] {
  const { bounding, effective } = plan.capabilities;
  const dropped = capabilityNames.filter((name) => !bounding.includes(name));
  const flags = [
    ...(container.privileged ? ["--privileged: all that the daemon has"] : []),
    ...container.capAdd.map((name) => `--cap-add ${name}`),
    ...container.capDrop.map((name) => `--cap-drop ${name}`),
  ];
  const lines = [
    line("bounding", `${bounding.length} kept: ${short(bounding).join(" ") || "none"}`),
    line(
      "effective",
      effective.length === bounding.length
        ? "all of these, since it starts as root"
        : short(effective).join(" ") || "none: it does not start as root",
    ),
    line("dropped", `${dropped.length}: ${short(dropped).join(" ")}`),
    line("because of", flags.join(", ") || "docker's default set"),
  ];
  const now = live?.status.capabilities.effective;
  if (now && now.length < effective.length) {
    lines.push(note("now", `${short(now).join(" ") || "none"}: the program gave up the others`));
  }
  return lines;
}

export function seccompLines({ seccomp, live }: ExplainFacts): Line[] {
  if (seccomp.profile === "none") {
    return [line("mode", `no filter (${seccomp.why})`)];
  }
  const words = (names: readonly string[]) =>
    names.length > NAMES_SHOWN_MAX
      ? `${names.slice(0, NAMES_SHOWN_MAX).join(" ")} and ${names.length - NAMES_SHOWN_MAX} more`
      : names.join(" ");
  return [
    line("mode", `a filter of ${seccomp.instructions} instructions`),
    line("profile", `${seccomp.profile} (${seccomp.why})`),
    line("default", `${seccomp.defaultAction} for every call that is not named`),
    line("allowed", `${seccomp.allowed} system calls`),
    ...(seccomp.conditional.length > 0
      ? [line("with conditions", words(seccomp.conditional))]
      : []),
    ...(seccomp.more.length > 0 ? [line("more than usual", words(seccomp.more))] : []),
    ...(seccomp.less.length > 0 ? [line("less than usual", words(seccomp.less))] : []),
    line("architectures", seccomp.architectures.join(" ") || "the native one"),
    ...(live && live.status.seccompFilters > 1
      ? [note("now", `${live.status.seccompFilters} filters: the program added some itself`)]
      : []),
  ];
}

export function hiddenLines({ plan, live }: ExplainFacts): Line[] {
  const lines = [
    ...plan.maskedPaths.map((path) => line(path, "covered by /dev/null or an empty folder")),
    ...plan.readonlyPaths.map((path) => line(path, "read-only")),
  ];
  if (!live) return lines;
  return lines.map((one) =>
    live.hideable.includes(one.what) ? one : note(one.what, "this kernel has nothing there"),
  );
}
