// The runtimes that `info` lists: our own, and those that daemon.json registers, each with what it
// can do in the form of the runtime spec's `features` document.

import { execFile } from "node:child_process";
import { runtimeFeatures } from "../../runtime/index.ts";
import type { EngineContext, RegisteredRuntime } from "../context.ts";
import type { SystemInfo } from "../contract.ts";

const FEATURES = "org.opencontainers.runtime-spec.features";
/** A program that answers nothing useful in this time has no features. */
const FEATURES_MS = 2_000;
const FEATURES_BYTES_MAX = 256 * 1024;
/** What programs said of themselves, by path: asked once in the life of the daemon. */
const asked = new Map<string, Promise<string | undefined>>();

export async function runtimesOf(engine: EngineContext): Promise<SystemInfo> {
  const { runtimes } = engine.options;
  const own = { path: "gantry-native", status: { [FEATURES]: ownFeatures(engine) } };
  const others = await Promise.all(
    Object.entries(runtimes?.registered ?? {}).map(async ([name, runtime]) => [
      name,
      await described(runtime),
    ]),
  );
  return {
    Runtimes: { "io.containerd.runc.v2": own, runc: own, ...Object.fromEntries(others) },
    DefaultRuntime: runtimes?.default ?? "runc",
  };
}

async function described({ path, runtimeArgs }: RegisteredRuntime): Promise<object> {
  if (path === undefined) return {};
  let features = asked.get(path);
  if (features === undefined) {
    features = askFeatures(path);
    asked.set(path, features);
  }
  const text = await features;
  return {
    path,
    ...(runtimeArgs !== undefined && { runtimeArgs }),
    ...(text !== undefined && { status: { [FEATURES]: text } }),
  };
}

function askFeatures(path: string): Promise<string | undefined> {
  // For gantry-runtime: nothing stays behind of a question.
  const env = { ...process.env, GANTRY_PLAIN: "1" };
  const limits = { timeout: FEATURES_MS, maxBuffer: FEATURES_BYTES_MAX, env };
  return new Promise((resolve) => {
    execFile(path, ["features"], limits, (error, stdout) => {
      if (error) return resolve(undefined);
      try {
        resolve(JSON.stringify(JSON.parse(stdout)));
      } catch {
        resolve(undefined);
      }
    });
  });
}

function ownFeatures({ runtime, options }: EngineContext): string {
  return JSON.stringify({
    ociVersionMin: "1.0.0",
    ociVersionMax: "1.3.0",
    ...runtimeFeatures(runtime.kernel),
    annotations: { "io.gantry.version": options.version },
  });
}
