// Whether the host's kernel killed a container because the host itself was out of memory: its
// messages name the process.

import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { ContainerRecord } from "../containers/record.ts";
import type { EndFacts } from "../contract.ts";

const RECORD_BYTES_MAX = 8192;
const RECORDS_MAX = 50_000;

/** What is said of a kill from outside, once the kernel's messages have been looked at. */
export async function refineKill(c: ContainerRecord, end: EndFacts): Promise<EndFacts> {
  const pid = c.end?.pid ?? 0;
  const line = pid > 0 ? await kernelMessage((text) => killsProcess(text, pid)) : undefined;
  if (line === undefined) return end;
  return {
    ...end,
    reason: "out-of-memory",
    says: `the host was out of memory, and its kernel killed the program: ${line}`,
    remedy: "set limits (-m) for what runs there, or give the host more memory",
  };
}

/** "Out of memory: Killed process 1234 (name) …". Pure. */
export function killsProcess(text: string, pid: number): boolean {
  return new RegExp(`Out of memory: Killed process ${pid} `).test(text);
}

async function kernelMessage(wanted: (text: string) => boolean): Promise<string | undefined> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK;
  const file = await open("/dev/kmsg", flags).catch(() => undefined);
  if (!file) return undefined;
  const buffer = Buffer.alloc(RECORD_BYTES_MAX);
  try {
    for (let count = 0; count < RECORDS_MAX; count++) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      const text = buffer.toString("utf8", 0, bytesRead);
      if (wanted(text)) return text.split("\n")[0]!.replace(/^[^;]*;/, "");
    }
  } catch {
    // EAGAIN: that was the last one.
  } finally {
    await file.close();
  }
  return undefined;
}
