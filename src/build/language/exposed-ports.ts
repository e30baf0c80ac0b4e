// EXPOSE: "80", "53/udp", "8000-8010". An address or a host port (127.0.0.1:80:80) is read and
// dropped, as the builder does, and reported by a check.

import { isIP } from "node:net";
import { TextFault } from "./dockerfile-error.ts";

export interface ExposedPort {
  /** Keys of ExposedPorts: "80/tcp". */
  ports: string[];
  /** It names an address or a host port, which EXPOSE does not use. */
  hasHost: boolean;
  /** The protocol is not in lower case. */
  hasUpperCase: boolean;
}

/** Reads one word of EXPOSE. Throws a TextFault worded as go-connections'. */
export function exposedPort(word: string): ExposedPort {
  const parts = word.split(":");
  const container = parts.pop()!;
  const host = parts.pop();
  const address = parts.join(":").replace(/^\[(.*)\]$/, "$1");
  const slash = container.indexOf("/");
  const numbers = slash < 0 ? container : container.slice(0, slash);
  const written = slash < 0 ? "" : container.slice(slash + 1);
  const protocol = written.toLowerCase() || "tcp";
  if (numbers === "") throw new TextFault(`no port specified: ${word}<empty>`);
  if (!["tcp", "udp", "sctp"].includes(protocol)) {
    const message = `invalid port: ${JSON.stringify(word)}: invalid proto: ${protocol}`;
    throw new TextFault(message, 0, 0, "use tcp, udp or sctp");
  }
  if (address !== "" && isIP(address) === 0) {
    throw new TextFault(`invalid IP address: ${address}`);
  }
  const range = rangeOf(numbers);
  if (range === undefined) throw new TextFault(`invalid containerPort: ${numbers}`);
  if (host !== undefined && host !== "") checkHost(host, numbers, range);
  const [first, last] = range;
  return {
    ports: Array.from({ length: last - first + 1 }, (_, n) => `${first + n}/${protocol}`),
    hasHost: host !== undefined,
    hasUpperCase: written !== written.toLowerCase(),
  };
}

function checkHost(host: string, container: string, [first, last]: [number, number]): void {
  const range = rangeOf(host);
  if (range === undefined) throw new TextFault(`invalid hostPort: ${host}`);
  if (first !== last && range[1] - range[0] !== last - first) {
    const which = "invalid ranges specified for container and host Ports";
    throw new TextFault(`${which}: ${container} and ${host}`);
  }
}

function rangeOf(text: string): [number, number] | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first <= last && last <= 65_535 ? [first, last] : undefined;
}
