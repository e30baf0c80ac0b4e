// Hooks of a container that is ours to make (those of CDI devices): the bundle that their programs
// are told of, and those that run when the container's program does. The others are in its plan.

import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Created } from "../../native/index.ts";
import { hasHooks, hooksDeadlineMs, planHooks } from "../../runtime/index.ts";
import type { OciSpec } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import { configJson } from "../runtimes/config-json.ts";
import type { ContainerRecord } from "./record.ts";

/** Undefined where no hook asks for it. */
export function hookBundle(
  { hooks }: OciSpec,
  { paths }: EngineContext,
  { id }: ContainerRecord,
): string | undefined {
  const before = ["prestart", "createRuntime", "createContainer", "startContainer"] as const;
  const hasAny = hasHooks(hooks, ...before, "poststart", "poststop");
  return hasAny ? join(paths.container(id).dir, "bundle") : undefined;
}

/** What the hooks' programs read; made anew for each start. In the container's mount namespace its
 * root is at rootfs, until its program runs. */
export async function writeHookBundle(bundle: string, spec: OciSpec): Promise<void> {
  await rm(bundle, { recursive: true, force: true });
  await mkdir(join(bundle, "rootfs"), { recursive: true, mode: 0o711 });
  await writeFile(join(bundle, "config.json"), configJson(spec, bundle), { mode: 0o600 });
}

/** Throws what the first hook that fails says. */
export async function runPoststart(
  engine: EngineContext,
  c: ContainerRecord,
  { spec, created }: { spec: OciSpec; created: Created },
): Promise<void> {
  const { hooks, ociVersion } = spec;
  if (!hasHooks(hooks, "poststart")) return;
  const bundle = hookBundle(spec, engine, c)!;
  const state = { ociVersion, id: c.id, status: "running", bundle } as const;
  const host = planHooks(hooks, "poststart", { state, pid: { number: created.pid } });
  await engine.native.run({ host, deadlineMs: hooksDeadlineMs(hooks, "poststart") });
}
