// The composition root: the only place where the parts of the server side are made and joined.
// Opening goes bottom up (native, storage, network, engine), closing top down.

import { chmod, mkdir, stat } from "node:fs/promises";
import { type Logger, messageOf, Rollback } from "../base/index.ts";
import { type EngineOptions, openEngine, type RunningEngine } from "../engine/index.ts";
import { connectMonitor, type Native } from "../native/index.ts";
import { type NetworkOptions, openNetwork } from "../network/index.ts";
import { openStorage, RootFiles } from "../storage/index.ts";
import { lockRoot } from "./data-root-lock.ts";
import { ResidentNative } from "./resident-native.ts";
import { wireRuntime } from "./wire-runtime.ts";

/** Root of a container may leave programs in a volume that are set-uid root: nobody else of the
 * host is to reach them, whatever the modes beneath (CVE-2021-41091). */
async function makeDataRoot(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o710 });
  const { mode } = await stat(path);
  if ((mode & 0o007) !== 0) await chmod(path, mode & 0o770);
}

/** Opens the engine over its data root and takes up the containers that run there. `wrapNative`
 * lets a test stand between the planners and the kernel. */
export async function createEngine(
  options: EngineOptions,
  network: NetworkOptions,
  log: Logger,
  { wrapNative = (native: Native): Native => native } = {},
): Promise<RunningEngine & { native: Native }> {
  await using undo = new Rollback((what, error) => log.error(`Failed to close ${what}`, { error }));
  await makeDataRoot(options.dataRoot);
  const lock = await lockRoot("exec", options.execRoot);
  undo.defer("the lock of the exec root", () => lock.release());
  const native = wrapNative(new ResidentNative(options.execRoot, log));
  undo.defer("the native program", () => native.close());
  const storage = await openStorage({ root: options.dataRoot, native, log });
  undo.defer("the storage", () => storage.close());
  const { runtime, cgroups } = await wireRuntime(native, log, options);
  const { execRoot } = options;
  const { records } = storage;
  const networkLayer = await openNetwork({ native, records, options: network, log, execRoot });
  undo.defer("the network", () => networkLayer.stop());
  const engine = await openEngine(options, {
    storage,
    files: new RootFiles(native),
    native: cgroups.native,
    network: networkLayer,
    runtime,
    log,
    connectMonitor,
  });
  undo.commit();
  return {
    ...engine,
    native,
    close: async () => {
      const parts: [string, () => Promise<void>][] = [
        ["the engine", () => engine.close()],
        ["the cgroup pool", async () => native.preparePool?.([])],
        ["cgroups", () => cgroups.close(options.cgroupParent)],
        ["the network", () => networkLayer.stop()],
        ["the storage", () => storage.close()],
        ["the native program", () => native.close()],
        ["the lock of the exec root", async () => lock.release()],
      ];
      for (const [what, close] of parts) {
        await close().catch((error) => {
          log.error(`Failed to close ${what}`, { error: messageOf(error) });
        });
      }
    },
  };
}
