// OCI runtimes that daemon.json registers, with dockerd's rules: a name is a program and its
// arguments, or a containerd shim and its options, and never that of the runtime that is built in.

import { GantryError } from "../base/index.ts";
import type { EngineOptions, RegisteredRuntime } from "../engine/index.ts";

type Runtimes = NonNullable<EngineOptions["runtimes"]>;

/** Ours, and what clients of docker call it. */
const BUILTIN = "runc";
const SHIM = "io.containerd.runc.v2";
const MEMBERS: Readonly<Record<string, (value: unknown) => boolean>> = {
  path: (value) => typeof value === "string",
  runtimeArgs: (value) => Array.isArray(value) && value.every((one) => typeof one === "string"),
  runtimeType: (value) => typeof value === "string",
  options: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

/** name=path, of --add-runtime. */
export function addRuntimeFlag(text: string, previous: unknown): Record<string, unknown> {
  const [, name = "", path = ""] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (name.trim() === "" || path.trim() === "") {
    throw invalid(`invalid runtime argument: ${text}`);
  }
  checkName(name.trim());
  const before = (previous ?? {}) as Record<string, unknown>;
  if (Object.hasOwn(before, name.trim())) {
    throw invalid(`runtime '${name.trim()}' was already defined`);
  }
  return { ...before, [name.trim()]: { path: path.trim() } };
}

/** Throws invalid with dockerd's words. */
export function runtimeSettings(registered: Record<string, unknown>, wanted: string): Runtimes {
  for (const [name, runtime] of Object.entries(registered)) {
    checkName(name);
    checkRuntime(name, runtime);
  }
  const chosen = wanted || BUILTIN;
  if (![BUILTIN, SHIM].includes(chosen) && !Object.hasOwn(registered, chosen)) {
    throw invalid(`specified default runtime '${chosen}' does not exist`);
  }
  return { default: chosen, registered: registered as Record<string, RegisteredRuntime> };
}

function checkName(name: string): void {
  if (name === BUILTIN) throw invalid(`runtime name '${name}' is reserved`);
}

function checkRuntime(name: string, runtime: unknown): void {
  if (!MEMBERS["options"]?.(runtime)) {
    throw invalid(`runtime ${name}: must be an object`);
  }
  for (const [key, value] of Object.entries(runtime as object)) {
    if (!MEMBERS[key]?.(value)) throw invalid(`runtime ${name}: invalid ${key}`);
  }
  const { path = "", runtimeType = "", runtimeArgs, options } = runtime as RegisteredRuntime;
  if (path === "" && runtimeType === "") {
    throw invalid(`runtime ${name}: either a runtimeType or a path must be configured`);
  }
  if (path !== "" && runtimeType !== "") {
    throw invalid(
      `runtime ${name}: cannot configure both path and runtimeType for the same runtime`,
    );
  }
  if (runtimeType !== "" && (runtimeArgs?.length ?? 0) > 0) {
    throw invalid(
      `runtime ${name}: cannot use runtimeArgs with a runtimeType; use options instead`,
    );
  }
  if (path !== "" && options !== undefined) {
    throw invalid(`runtime ${name}: options cannot be used with path; use runtimeArgs instead`);
  }
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}
