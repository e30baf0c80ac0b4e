// What `logs --status` prints of a container whose log is shipped to a remote driver.

import { humanBinarySize } from "../../base/index.ts";

export interface Inspected {
  Config: { Tty: boolean };
  HostConfig: { LogConfig?: { Type?: string } };
  LogShipping?: {
    Driver: string;
    State: string;
    ShippedLines: number;
    ShippedBytes: number;
    WaitingBytes: number;
    Retries: number;
    RefusedLines: number;
    DroppedLines: number;
    ShippedAt?: string;
    Error?: string;
  };
}

export function shippingStatus({ HostConfig, LogShipping: status }: Inspected): string {
  if (!status) {
    const driver = HostConfig.LogConfig?.Type || "json-file";
    return `Driver:   ${driver} (the log is kept on this host only)`;
  }
  const lines: [name: string, text: string | undefined][] = [
    ["Driver:", status.Driver],
    ["State:", status.State],
    ["Shipped:", `${status.ShippedLines} lines, ${humanBinarySize(status.ShippedBytes)}`],
    ["Last:", status.ShippedAt],
    ["Waiting:", humanBinarySize(status.WaitingBytes)],
    ["Retries:", String(status.Retries)],
    ["Refused:", status.RefusedLines > 0 ? `${status.RefusedLines} lines` : undefined],
    ["Dropped:", status.DroppedLines > 0 ? `${status.DroppedLines} lines` : undefined],
    ["Error:", status.Error],
  ];
  return lines
    .flatMap(([name, text]) => (text === undefined ? [] : [`${name.padEnd(10)}${text}`]))
    .join("\n");
}
