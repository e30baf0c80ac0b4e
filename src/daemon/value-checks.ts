// What single values of options may be, in dockerd's words where it has some. Pure.

import { isIP } from "node:net";
import { GantryError } from "../base/index.ts";

export function checkLabel(label: string, all: readonly string[]): void {
  const equals = label.indexOf("=");
  if (equals <= 0) throw invalid(`bad attribute format: ${label}`);
  const key = label.slice(0, equals + 1);
  const before = all.slice(0, all.indexOf(label));
  const other = before.find((one) => one.startsWith(key));
  if (other !== undefined) throw invalid(`conflict labels for ${label} and ${other}`);
}

/** With its path ended by a slash, as dockerd keeps it. */
export function checkMirror(text: string): string {
  if (!text.includes("://")) {
    throw invalid(
      `invalid mirror: no scheme specified for ${JSON.stringify(text)}: must use either ` +
        "'https://' or 'http://'",
    );
  }
  const url = URL.parse(text);
  if (url === null) throw invalid(`invalid mirror: ${JSON.stringify(text)} is not a valid URI`);
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw invalid(
      `invalid mirror: unsupported scheme ${JSON.stringify(url.protocol.slice(0, -1))} in ` +
        `${JSON.stringify(text)}: must use either 'https://' or 'http://'`,
    );
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw invalid(`invalid mirror: path, query, or fragment at end of the URI "${text}"`);
  }
  return url.href;
}

/** A registry without the scheme that people write before it. */
export function plainName(registry: string, warn: (text: string) => void): string {
  const scheme = /^https?:\/\//i.exec(registry)?.[0];
  if (scheme === undefined) return registry;
  warn(
    `insecure registry ${registry} should not contain '${scheme}' and '${scheme}' has been ` +
      "removed from the insecure registry config",
  );
  return registry.slice(scheme.length);
}

export function checkIp(text: string): void {
  if (isIP(text) === 0) throw invalid(`${text} is not an ip address`);
}

export function checkGateway(text: string): void {
  if (isIP(text) === 0) throw invalid(`ParseAddr(${JSON.stringify(text)}): unable to parse IP`);
}

/** "." is a search list without domains. */
export function checkDomain(text: string): void {
  const label = "[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?";
  const isDomain = new RegExp(`^${label}(\\.${label})*\\.?$`).test(text) && text.length < 255;
  if (text !== "." && !isDomain) throw invalid(`${text} is not a valid domain`);
}

export function defaultIpcMode(mode: string): string {
  if (mode === "shareable" || mode === "private") return mode;
  throw invalid(
    `IPC mode ${JSON.stringify(mode)} is not supported as default value; use "shareable" or ` +
      '"private"',
  );
}

export function defaultCgroupnsMode(mode: string): string {
  if (["", "host", "private"].includes(mode)) return mode;
  throw invalid(`invalid default cgroup namespace (${mode}): use "host" or "private"`);
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}
