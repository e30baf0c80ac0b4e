// Cgroups made by systemd: each container is a scope in a slice. The plans are those of the other
// driver, in a folder that is there already; what their operations write is told to systemd too.

import { readdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { GantryError } from "../base/index.ts";
import type { CgroupPaths } from "../engine/index.ts";
import { keptProgramPath, type Native, type Operation, type Plan } from "../native/index.ts";
import {
  type CreateInput,
  type KernelFeatures,
  type PlannedCreate,
  planCreate,
  planRestore,
  planUpdate,
} from "../runtime/index.ts";
import { cgroupFiles, type Scope, SystemdUnits, sliceFolder } from "../systemd/index.ts";
import type { CgroupDriver } from "./cgroup-driver.ts";

const PREFIX = "gantry-";
const UNIT = /^gantry-([0-9a-f]{64})\.scope$/;

/** Throws unavailable where there is no systemd, or no cgroup v2 alone. */
export async function openSystemd(native: Native, kernel: KernelFeatures): Promise<CgroupDriver> {
  const { v1, v2 } = kernel.cgroup;
  if (v1.size > 0 || !v2) {
    throw new GantryError(
      "unavailable",
      "native.cgroupdriver=systemd needs cgroup v2 alone, and this host has version 1: use " +
        "native.cgroupdriver=cgroupfs",
    );
  }
  const units = await SystemdUnits.connect({ holder: keptProgramPath() });
  return new SystemdDriver(native, { kernel, mount: v2.path, units });
}

class SystemdDriver implements CgroupDriver {
  readonly driver = "systemd";
  readonly native: Native;
  #kernel: KernelFeatures;
  #mount: string;
  #units: SystemdUnits;
  /** Of plans that are not run yet. */
  #starts = new WeakMap<Plan, Scope>();
  #updates = new WeakMap<readonly Operation[], string>();

  constructor(native: Native, o: { kernel: KernelFeatures; mount: string; units: SystemdUnits }) {
    this.#kernel = o.kernel;
    this.#mount = o.mount;
    this.#units = o.units;
    this.native = {
      run: async (plan, options) => {
        const folder = this.#updates.get(plan.host);
        const results = await native.run(plan, options);
        if (folder) await o.units.setLimits(basename(folder), cgroupFiles(plan.host, folder));
        return results;
      },
      create: async (plan, monitor, options) => {
        const scope = this.#starts.get(plan);
        if (!scope) return await native.create(plan, monitor, options);
        const files = cgroupFiles(plan.host, this.#mount + scope.path);
        const description = `gantry container ${monitor.id}`;
        await using _held = await o.units.start(scope, { description, files });
        return await native.create(plan, monitor, options);
      },
      openStream: () => native.openStream(),
      close: () => native.close(),
    };
  }

  pathFor(id: string, parent: string): string {
    if (!parent.endsWith(".slice")) {
      throw new GantryError(
        "invalid",
        'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"',
      );
    }
    return `${sliceFolder(parent)}/${PREFIX}${id}.scope`;
  }

  folderOf = sliceFolder;

  planCreate(input: CreateInput): PlannedCreate {
    const path = input.spec.linux?.cgroupsPath ?? "";
    return this.#inScope(planCreate({ ...input, preparedParents: new Set([dirname(path)]) }), path);
  }

  planRestore: CgroupDriver["planRestore"] = (input) =>
    this.#inScope(planRestore(input), input.spec.linux?.cgroupsPath ?? "");

  #inScope(planned: PlannedCreate, path: string): PlannedCreate {
    const slice = basename(dirname(path)) || "-.slice";
    this.#starts.set(planned.plan, { slice, unit: basename(path), path });
    return planned;
  }

  planUpdate: CgroupDriver["planUpdate"] = (paths, wanted, previous) => {
    const operations = planUpdate(this.#kernel.cgroup, paths, wanted, previous);
    const folder = paths[""];
    if (folder !== undefined) this.#updates.set(operations, folder);
    return operations;
  };

  async find(parent: string): Promise<ReadonlyMap<string, CgroupPaths>> {
    const folder = this.#mount + sliceFolder(parent);
    const names = await readdir(folder).catch(() => []);
    const ids = names.flatMap((name): [string, CgroupPaths][] => {
      const id = UNIT.exec(name)?.[1];
      return id === undefined ? [] : [[id, { "": `${folder}/${name}` }]];
    });
    return new Map(ids);
  }

  async close(parent: string): Promise<void> {
    try {
      // A slice that systemd made for a scope stays when the scope is gone.
      const left = await readdir(this.#mount + sliceFolder(parent), { withFileTypes: true });
      if (!left.some((entry) => entry.isDirectory())) await this.#units.stop(parent);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error; // it never had one
    } finally {
      await this.#units[Symbol.asyncDispose]();
    }
  }
}
