// linux.intelRdt: a class of service of the processor's caches and memory bandwidth, which is a
// folder of the resctrl file system. A class that is there is shared; one that is made for the
// container goes with it. Source: the kernel's Documentation/filesystems/resctrl.rst, runtime-spec
// config-linux.md.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciLinux } from "../spec/index.ts";
import { SLOT, write } from "./plan-builder.ts";

/** What the host's resctrl looked like before the plan was made. */
export interface RdtState {
  /** Mount point. */
  mount: string;
  /** `schemata` of the class that is asked for; absent: there is no such class. */
  schemata?: string;
}

/** A container's place in resctrl, for what enters and removes it later. */
export interface RdtPlace {
  /** `tasks` files that each of its processes is written to, in order. */
  tasks: readonly string[];
  /** Folders that were made for it, outermost first. */
  made: readonly string[];
}

export interface RdtShare {
  place: RdtPlace;
  /** Before clone. */
  make: Operation[];
  /** After clone: the first process enters. */
  enter: Operation[];
  teardown: Operation[];
}

type IntelRdt = NonNullable<OciLinux["intelRdt"]>;
const ROOT_CLASS = "/";

/** The name of the class's folder; "" is the root's. Throws invalid. */
export function rdtClassOf({ closID }: IntelRdt, id: string): string {
  if (closID === ROOT_CLASS) return "";
  const name = closID ?? id;
  const reserved = ["", ".", "..", "info", "mon_groups", "mon_data"];
  if (reserved.includes(name) || /[/\n]/.test(name)) {
    throw new GantryError("invalid", `invalid intelRdt.closID ${JSON.stringify(name)}`);
  }
  return name;
}

/** Throws invalid where the class is not what is asked for. */
export function planRdt(rdt: IntelRdt, id: string, state: RdtState | undefined): RdtShare {
  if (!state) {
    const why = "no resctrl file system is mounted on this host (Intel RDT, AMD QoS)";
    throw new GantryError("invalid", `linux.intelRdt: ${why}`);
  }
  const name = rdtClassOf(rdt, id);
  const folder = name === "" ? state.mount : `${state.mount}/${name}`;
  const lines = schemataOf(rdt);
  const exists = state.schemata !== undefined;
  checkClass({ rdt, name, lines, schemata: state.schemata });
  const monitor = rdt.enableMonitoring ? `${folder}/mon_groups/${id}` : undefined;
  const made = [...(exists ? [] : [folder]), ...(monitor === undefined ? [] : [monitor])];
  const tasks = [folder, ...(monitor === undefined ? [] : [monitor])].map((f) => `${f}/tasks`);
  const text = lines.map((line) => `${line}\n`).join("");
  return {
    place: { tasks, made },
    make: [
      ...made.map((path): Operation => ({ op: "mkdir", path, mode: 0o755 })),
      ...(text === "" || exists ? [] : [write(`${folder}/schemata`, text)]),
    ],
    enter: tasks.map((path) => ({ op: "writeSlot", path, slot: SLOT.pid })),
    // A class with a name of its own may be another's by the time that this plan fails.
    teardown: planRdtRemove({ made: made.filter((path) => path.endsWith(`/${id}`)) }),
  };
}

/** What was made for a container is removed; its processes fall to the class above. */
export function planRdtRemove({ made }: Pick<RdtPlace, "made">): Operation[] {
  return made.toReversed().map((path) => ({ op: "rmdir", path, missingOk: true }));
}

/** For an exec: whoever runs the plan enters, and its children are born there. */
export function planRdtExec(place: RdtPlace | undefined): Operation[] {
  return (place?.tasks ?? []).map((path) => write(path, "0"));
}

/** New lines for the class of a container (update). */
export function planRdtUpdate(place: RdtPlace, rdt: IntelRdt): Operation[] {
  const folder = place.tasks[0]!.slice(0, -"/tasks".length);
  return schemataOf(rdt).map((line) => write(`${folder}/schemata`, `${line}\n`));
}

/** The lines to write: those of `schemata` come last, so that they are what counts. */
function schemataOf({ l3CacheSchema = "", memBwSchema = "", schemata = [] }: IntelRdt): string[] {
  const invalid = (what: string) => new GantryError("invalid", `invalid intelRdt.${what}`);
  if (memBwSchema !== "" && !/^MB:[^\n]+$/.test(memBwSchema)) throw invalid("memBwSchema");
  if (schemata.some((line) => !/^[^\n:]+:[^\n]+$/.test(line))) throw invalid("schemata");
  const cache = l3CacheSchema.split("\n").filter((line) => line.trim() !== "");
  if (cache.some((line) => !line.includes(":"))) throw invalid("l3CacheSchema");
  // The one for memory bandwidth has a field of its own.
  const kept = memBwSchema === "" ? cache : cache.filter((line) => !line.startsWith("MB:"));
  return [...kept, ...(memBwSchema === "" ? [] : [memBwSchema]), ...schemata];
}

function checkClass(o: {
  rdt: IntelRdt;
  name: string;
  lines: readonly string[];
  schemata: string | undefined;
}): void {
  const { rdt, name, lines, schemata } = o;
  const shown = JSON.stringify(rdt.closID ?? name);
  if (schemata === undefined) {
    if (rdt.closID === undefined || lines.length > 0) return;
    throw new GantryError("invalid", `linux.intelRdt: the class ${shown} does not exist`);
  }
  if (rdt.closID === undefined) {
    throw new GantryError("conflict", `linux.intelRdt: a class ${shown} exists already`);
  }
  const present = new Set(schemata.split("\n").map(normalised));
  const other = lines.find((line) => !present.has(normalised(line)));
  if (other === undefined) return;
  const why = `the class ${shown} exists and is not ${JSON.stringify(other)}`;
  throw new GantryError("invalid", `linux.intelRdt: ${why}`);
}

/** "L3:0=00f;1=0f" as the kernel may write it: "    L3:0=f;1=f". */
function normalised(line: string): string {
  const [, resource = "", domains = ""] = /^\s*([^:\s]+)\s*:(.*)$/.exec(line) ?? [];
  const parts = domains.split(";").map((part) => part.replace(/\s/g, "").replace(/=0+(?=\w)/, "="));
  return `${resource}:${parts.filter((part) => part !== "").join(";")}`;
}
