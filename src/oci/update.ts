// update: the limits of a running container. What is not named stays as it is; what the kernel
// refuses leaves the limits as they were.

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { GantryError, messageOf, parseExactJson } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import { planRdtUpdate, planUpdate } from "../runtime/index.ts";
import type { OciResources } from "../spec/index.ts";
import type { CallIo } from "../warm/index.ts";
import { type CommandContext, locked } from "./command.ts";
import { checkResourcesShape } from "./config-shape.ts";
import type { FlagTable, FlagValues } from "./flags.ts";
import { type Log, wording } from "./log.ts";
import { parseNumber, parseSize } from "./sizes.ts";
import type { ContainerState } from "./state-folder.ts";
import { statusOf } from "./status.ts";
import { tellLimits } from "./systemd-scope.ts";

export const UPDATE_FLAGS = {
  resources: {
    kind: "string",
    short: "r",
    about: "file with linux.resources of a config.json, - for standard input; no other flag counts",
  },
  "blkio-weight": { kind: "int", about: "weight of block I/O, 10 to 1000" },
  "cpu-period": { kind: "string", about: "period of --cpu-quota in µs" },
  "cpu-quota": { kind: "string", about: "CPU time in each period in µs, -1 for no limit" },
  "cpu-burst": { kind: "string", about: "CPU time that may be saved up for later periods, in µs" },
  "cpu-share": { kind: "string", about: "share of the CPUs beside others, 2 to 262144" },
  "cpu-rt-period": { kind: "string", about: "period of --cpu-rt-runtime in µs" },
  "cpu-rt-runtime": { kind: "string", about: "realtime CPU time in each period in µs" },
  "cpuset-cpus": { kind: "string", about: "CPUs to use: 0-2,4" },
  "cpuset-mems": { kind: "string", about: "memory nodes to use" },
  "cpu-idle": { kind: "string", about: "1: runs only when nothing else does" },
  "kernel-memory": { kind: "string", about: "has no effect any more", hidden: true },
  "kernel-memory-tcp": { kind: "string", about: "limit of TCP buffers", hidden: true },
  memory: { kind: "string", about: "limit of memory; -1 for none" },
  "memory-reservation": { kind: "string", about: "memory that is kept when it is scarce" },
  "memory-swap": { kind: "string", about: "limit of memory and swap; -1 for no limit of swap" },
  "pids-limit": { kind: "int", about: "limit of processes; -1 for none" },
  "l3-cache-schema": { kind: "string", about: "Intel RDT: the L3 line of schemata" },
  "mem-bw-schema": { kind: "string", about: "Intel RDT: the MB line of schemata" },
} as const satisfies FlagTable;

/** Commit point: the new limits are in force and in the state. */
export async function update(
  context: CommandContext,
  id: string,
  flags: FlagValues,
): Promise<void> {
  const { caller, folder, kernel, log } = context;
  await locked(context, id, async () => {
    const state = await folder.read(id);
    const status = await statusOf(folder, state);
    if (status === "stopped" || status === "creating") {
      throw new GantryError("conflict", "container not running");
    }
    const wanted = flags.text("resources")
      ? await readResources(flags.text("resources"), caller.io)
      : resourcesOf(flags, log);
    const before = state.spec.linux?.resources ?? {};
    const changed = withoutDevices(completed(wanted, kernel.cgroupFiles), before);
    const plan = [
      ...planUpdate(kernel.cgroup, state.cgroupPaths, changed, before),
      ...rdtOperations(state, flags),
    ];
    if (plan.length === 0) return;
    log.debug(`writing ${plan.length} limits`);
    await caller.run({ host: plan }).catch(async (error: unknown) => {
      await restore(context, state);
      throw error;
    });
    await tellLimits(state, plan);
    await folder.write(withResources(state, changed));
  });
}

/** Memory without a limit means swap without one. */
function completed(resources: OciResources, files: ReadonlySet<string> | undefined): OciResources {
  const { memory } = resources;
  if (memory?.limit !== -1 || memory.swap) return resources;
  const hasSwap = files?.has("memory.memsw.limit_in_bytes") || files?.has("memory.swap.max");
  return hasSwap ? { ...resources, memory: { ...memory, swap: -1 } } : resources;
}

/** Engines send the whole configuration: its rules for devices must be those in force, because
 * between two sets of them the container would have none. */
function withoutDevices({ devices, ...rest }: OciResources, before: OciResources): OciResources {
  if (devices === undefined || isDeepStrictEqual(devices, before.devices ?? [])) return rest;
  throw new GantryError("not-implemented", "the device rules of a container cannot be changed");
}

function withResources(state: ContainerState, changed: OciResources): ContainerState {
  const { linux = {} } = state.spec;
  const before = linux.resources ?? {};
  const resources: OciResources = { ...before, ...changed };
  for (const key of ["memory", "cpu", "blockIO", "unified"] as const) {
    if (changed[key]) resources[key] = { ...before[key], ...changed[key] } as never;
  }
  return { ...state, spec: { ...state.spec, linux: { ...linux, resources } } };
}

/** Each limit whatever becomes of the others. */
async function restore({ caller, kernel }: CommandContext, state: ContainerState): Promise<void> {
  const { devices: _, ...before } = state.spec.linux?.resources ?? {};
  for (const operation of planUpdate(kernel.cgroup, state.cgroupPaths, before, before)) {
    await caller.run({ host: [operation] }).catch(() => {});
  }
}

function rdtOperations({ rdt }: ContainerState, flags: FlagValues): Operation[] {
  const l3CacheSchema = flags.text("l3-cache-schema");
  const memBwSchema = flags.text("mem-bw-schema");
  if (l3CacheSchema === "" && memBwSchema === "") return [];
  if (rdt) return planRdtUpdate(rdt, { l3CacheSchema, memBwSchema });
  const what = l3CacheSchema === "" ? "MBA: memory bandwidth" : "CAT: l3 cache";
  throw new GantryError("invalid", `Intel RDT/${what} schema is not enabled`);
}

async function readResources(path: string, io: CallIo): Promise<OciResources> {
  const text = await (path === "-" ? readAll(io) : readFile(resolve(io.cwd, path), "utf8")).catch(
    (cause: unknown) => {
      throw new GantryError("invalid", `open ${path}: ${wording(cause)}`, { cause });
    },
  );
  let resources: unknown;
  try {
    resources = parseExactJson(text);
  } catch (cause) {
    throw new GantryError("invalid", `${path} is no JSON: ${messageOf(cause)}`, { cause });
  }
  checkResourcesShape(resources, path);
  return resources as OciResources;
}

const STDIN_BYTES_MAX = 1 << 20;

async function readAll(io: CallIo): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of io.stdin.open() as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > STDIN_BYTES_MAX) throw new GantryError("invalid", "standard input is too long");
  }
  return Buffer.concat(chunks).toString("utf8");
}

function resourcesOf(flags: FlagValues, log: Log): OciResources {
  const number = (name: string, signed: boolean) => {
    const text = flags.text(name);
    return text === "" ? undefined : parseNumber(name, text, { signed });
  };
  const size = (name: string) => {
    const text = flags.text(name);
    return text === "" ? undefined : parseSize(name, text);
  };
  if (flags.text("kernel-memory")) {
    size("kernel-memory");
    log.warn("Kernel memory settings are ignored and will be removed");
  }
  const pids = flags.int("pids-limit");
  const weight = flags.int("blkio-weight");
  return dropUndefined({
    cpu: dropUndefined({
      shares: number("cpu-share", false),
      period: number("cpu-period", false),
      quota: number("cpu-quota", true),
      burst: number("cpu-burst", false),
      realtimePeriod: number("cpu-rt-period", false),
      realtimeRuntime: number("cpu-rt-runtime", true),
      idle: number("cpu-idle", true),
      cpus: flags.text("cpuset-cpus") || undefined,
      mems: flags.text("cpuset-mems") || undefined,
    }),
    memory: dropUndefined({
      limit: size("memory"),
      reservation: size("memory-reservation"),
      swap: size("memory-swap"),
      kernelTCP: size("kernel-memory-tcp"),
    }),
    pids: pids === 0 ? undefined : { limit: pids },
    blockIO: weight === 0 ? undefined : { weight },
  });
}

function dropUndefined<Value extends object>(value: Value) {
  const kept = Object.entries(value).filter(([, one]) => one !== undefined);
  return Object.fromEntries(kept) as { [K in keyof Value]?: Exclude<Value[K], undefined> };
}
