// What -p and -P ask for, as the network layer is told.

import { GantryError } from "../../base/index.ts";
import type { PublishRequest } from "../../network/index.ts";
import type { ContainerConfig, HostConfig } from "../../spec/index.ts";

const PORT_MAX = 65_535;

/** What -p and -P ask for. Throws invalid with docker's wording. */
export function publishRequests(config: ContainerConfig, host: HostConfig): PublishRequest[] {
  const requests: PublishRequest[] = [];
  const bindings: NonNullable<HostConfig["PortBindings"]> = { ...host.PortBindings };
  for (const port of Object.keys(config.ExposedPorts ?? {})) bindings[port] ??= [];
  // A port whose list is empty is only exposed, and published somewhere with -P.
  const otherwise = host.PublishAllPorts ? [{ HostIp: "", HostPort: "" }] : [];
  for (const [port, wanted] of Object.entries(bindings)) {
    const { number, protocol } = parsePort(port);
    const all = wanted?.length ? wanted : otherwise;
    for (const { HostIp, HostPort } of all) {
      const [hostPort, hostPortEnd] = parseRange(HostPort ?? "");
      const hostIp = HostIp ?? "";
      requests.push({ containerPort: number, protocol, hostIp, hostPort, hostPortEnd });
    }
  }
  return requests;
}

export function parsePort(text: string): {
  number: number;
  protocol: PublishRequest["protocol"];
} {
  const [port = "", protocol = "tcp"] = text.split("/");
  const number = Number(port);
  if (!/^\d+$/.test(port) || number < 1 || number > PORT_MAX) {
    throw new GantryError("invalid", `invalid port specification: ${JSON.stringify(text)}`);
  }
  const known = protocol.toLowerCase();
  if (known !== "tcp" && known !== "udp" && known !== "sctp") {
    throw new GantryError("invalid", `invalid port specification: ${JSON.stringify(text)}`);
  }
  return { number, protocol: known };
}

function parseRange(text: string): [first: number, last: number] {
  if (text === "") return [0, 0];
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  const first = Number(match?.[1] ?? -1);
  const last = Number(match?.[2] ?? first);
  if (first < 0 || last > PORT_MAX || last < first) {
    throw new GantryError("invalid", `invalid port specification: ${JSON.stringify(text)}`);
  }
  return [first, last];
}
