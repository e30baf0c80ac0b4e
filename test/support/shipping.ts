// A shipper over a log in memory, with a driver and its options as a container would give them.

import { silentLogger } from "../../src/base/index.ts";
import { remoteDriver } from "../../src/engine/log-drivers/index.ts";
import { Shipper } from "../../src/engine/log-drivers/shipper.ts";
import type { LogInfo } from "../../src/engine/logs/index.ts";
import { within } from "./deadline.ts";
import { MemoryLog } from "./memory-log.ts";

export const CONTAINER_ID = "0123456789abcdef".repeat(4);

export function containerWith(driver: string, options: Record<string, string>): LogInfo {
  return {
    id: CONTAINER_ID,
    name: "web",
    imageId: `sha256:${"fe".repeat(32)}`,
    imageName: "image:1",
    created: "2026-01-02T03:04:05.678901234Z",
    path: "/bin/program",
    args: ["one", "two"],
    config: { Labels: { "com.example": "label", other: "no" }, Env: ["MODE=fast", "SECRET=x"] },
    hostConfig: { LogConfig: { Type: driver, Config: options } },
  };
}

export interface Shipping extends AsyncDisposable {
  log: MemoryLog;
  shipper: Shipper;
  /** Ships everything that was written, then ends. */
  finish(): Promise<void>;
}

/** As a start of a container: options are checked, the first contact is made. */
export async function ship(
  driver: string,
  options: Record<string, string>,
  log: MemoryLog = new MemoryLog(),
): Promise<Shipping> {
  const found = remoteDriver(driver)!;
  found.validate(options);
  const sink = await found.open(containerWith(driver, options), { log: silentLogger });
  try {
    await sink.connect?.(new AbortController().signal);
  } catch (error) {
    sink.close();
    throw error;
  }
  const shipper = new Shipper({ sink, source: log, log: silentLogger });
  return {
    log,
    shipper,
    finish: async () => {
      shipper.finish();
      const what = () => `everything to be shipped: ${JSON.stringify(shipper.counters)}`;
      await within(what, shipper.done);
    },
    [Symbol.asyncDispose]: async () => {
      shipper.stop();
      await within(() => "a shipper to stop", shipper.done);
    },
  };
}

export const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, n) => `line ${from + n}`);
