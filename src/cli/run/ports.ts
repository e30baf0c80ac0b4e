// -p and --expose in every form: [[IP:][HOST[-HOST]]:]CONTAINER[-CONTAINER][/PROTO], the same with
// an IPv6 address in brackets, and published=…,target=….

import { isIP } from "node:net";
import { splitCsv } from "../../base/index.ts";
import type { PortBinding } from "../../spec/index.ts";
import { invalid } from "./list-flags.ts";

export interface PublishedPorts {
  exposed: Record<string, object>;
  bindings: Record<string, PortBinding[]>;
}

const PROTOCOLS = ["tcp", "udp", "sctp"];

/** Reads all --publish values. */
export function parsePublished(specs: readonly string[]): PublishedPorts {
  const result: PublishedPorts = { exposed: {}, bindings: {} };
  for (const spec of specs) {
    for (const one of parsePortSpec(standardNotation(spec))) {
      result.exposed[one.port] ??= {};
      const bindings = (result.bindings[one.port] ??= []);
      bindings.push({ HostIp: one.hostIp, HostPort: one.hostPort });
    }
  }
  return result;
}

/** published=8080,target=80,protocol=tcp as 8080:80/tcp. */
function standardNotation(spec: string): string {
  if (!spec.includes("=")) return spec;
  let published = "";
  let target = "";
  let protocol = "tcp";
  for (const field of splitCsv(spec)) {
    const [key = "", value] = field.split("=");
    if (value === undefined) {
      throw invalid(`invalid publish opts format (should be name=value but got '${spec}')`);
    }
    if (key === "published") published = value;
    else if (key === "target") target = value;
    else if (key === "protocol") protocol = value;
  }
  return `${published}:${target}/${protocol}`;
}

interface PortMapping {
  port: string;
  hostIp: string;
  hostPort: string;
}

/** One mapping for each port of a specification's range. */
export function parsePortSpec(spec: string): PortMapping[] {
  const { hostIp: rawIp, hostPort, containerPort: whole } = splitSpec(spec);
  const slash = whole.indexOf("/");
  const protocol = (slash < 0 ? "tcp" : whole.slice(slash + 1) || "tcp").toLowerCase();
  const containerPort = slash < 0 ? whole : whole.slice(0, slash);
  const hostIp = rawIp.startsWith("[") && rawIp.endsWith("]") ? rawIp.slice(1, -1) : rawIp;
  if (hostIp !== "" && isIP(hostIp) === 0) throw invalid(`invalid IP address: ${hostIp}`);
  if (containerPort === "") throw invalid(`no port specified: ${spec}<empty>`);
  const container = parseRange(containerPort);
  if (!container) throw invalid(`invalid containerPort: ${containerPort}`);
  const host = hostPort === "" ? undefined : parseRange(hostPort);
  if (hostPort !== "" && !host) throw invalid(`invalid hostPort: ${hostPort}`);
  if (host && host[1] - host[0] !== container[1] - container[0] && container[0] !== container[1]) {
    throw invalid(
      `invalid ranges specified for container and host Ports: ${containerPort} and ${hostPort}`,
    );
  }
  if (!PROTOCOLS.includes(protocol)) throw invalid(`invalid proto: ${protocol}`);
  const mappings: PortMapping[] = [];
  for (let at = 0; at <= container[1] - container[0]; at++) {
    let shown = host ? String(host[0] + at) : "";
    // One container port for a range of host ports: the daemon picks one that is free.
    if (host && host[0] !== host[1] && container[0] === container[1])
      shown = `${host[0]}-${host[1]}`;
    mappings.push({ port: `${container[0] + at}/${protocol}`, hostIp, hostPort: shown });
  }
  return mappings;
}

function splitSpec(spec: string): { hostIp: string; hostPort: string; containerPort: string } {
  const parts = spec.split(":");
  const containerPort = parts.pop()!;
  const hostPort = parts.pop() ?? "";
  return { hostIp: parts.join(":"), hostPort, containerPort };
}

function parseRange(text: string): [number, number] | undefined {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  if (!match) return undefined;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  return first > 65535 || last > 65535 || last < first ? undefined : [first, last];
}

/** Adds the ports of --expose. */
export function parseExposed(specs: readonly string[], exposed: Record<string, object>): void {
  for (const spec of specs) {
    if (spec.includes(":")) throw invalid(`invalid port format for --expose: ${spec}`);
    const slash = spec.indexOf("/");
    const protocol = (slash < 0 ? "tcp" : spec.slice(slash + 1) || "tcp").toLowerCase();
    const text = slash < 0 ? spec : spec.slice(0, slash);
    const range = parseRange(text);
    if (!range) {
      const why = text === "" ? "empty string specified for ports" : rangeProblem(text);
      throw invalid(`invalid range format for --expose: ${spec}, error: ${why}`);
    }
    if (!PROTOCOLS.includes(protocol)) throw invalid(`invalid proto: ${protocol}`);
    for (let port = range[0]; port <= range[1]; port++) exposed[`${port}/${protocol}`] ??= {};
  }
}

function rangeProblem(text: string): string {
  const [first = "", last] = text.split("-");
  for (const part of [first, ...(last === undefined ? [] : [last])]) {
    const why = Number(part) > 65535 ? "value out of range" : "invalid syntax";
    if (!/^\d+$/.test(part) || Number(part) > 65535) {
      return `strconv.ParseUint: parsing ${JSON.stringify(part)}: ${why}`;
    }
  }
  return `invalid range specified for port: ${text}`;
}
