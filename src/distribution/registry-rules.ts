// Rules for registries as data, compiled: which one fits a repository, what it makes of its name,
// who may be spoken to without verified TLS.

import { BlockList, isIP } from "node:net";
import type { MirrorRule, RegistryRule } from "./contract.ts";
import { isLoopback } from "./proxy-rules.ts";

/** From the repository's name here to its name there. */
export type Rename = (repository: string) => string;

/** The rule with the longest prefix that fits; a domain with "*." fits its subdomains. */
export function ruleFor(
  rules: readonly RegistryRule[],
  registry: string,
  repository = "",
): RegistryRule | undefined {
  const name = repository === "" ? registry : `${registry}/${repository}`;
  let best: RegistryRule | undefined;
  for (const rule of rules) {
    if (!fits(rule.prefix, registry, name)) continue;
    if (best === undefined || weight(rule.prefix) > weight(best.prefix)) best = rule;
  }
  return best;
}

function fits(prefix: string, registry: string, name: string): boolean {
  if (prefix.startsWith("*.")) return registry.replace(/:\d+$/, "").endsWith(prefix.slice(1));
  return name === prefix || name.startsWith(`${prefix}/`);
}

/** Any name without a star says more than one with it. */
function weight(prefix: string): number {
  return prefix.startsWith("*.") ? prefix.length : 1000 + prefix.length;
}

/** What a rule's prefix has after its host. */
function prefixPath({ prefix }: RegistryRule): string {
  const slash = prefix.indexOf("/");
  return slash < 0 ? "" : prefix.slice(slash + 1);
}

/** Replaces the path of the rule's prefix by `path` ("" or "some/where"). */
export function renameBy(rule: RegistryRule, path: string): Rename {
  const old = prefixPath(rule);
  return (repository) => {
    const inside = repository === old || repository.startsWith(`${old}/`);
    const rest = old !== "" && inside ? repository.slice(old.length + 1) : repository;
    return [path, rest].filter((part) => part !== "").join("/");
  };
}

export function mirrorRename(rule: RegistryRule, mirror: MirrorRule): Rename {
  const byPath = renameBy(rule, new URL(mirror.url).pathname.replace(/^\/|\/$/g, ""));
  return (repository) => {
    const fitting = mirror.rewrite.find(({ pattern }) => pattern.test(repository));
    if (fitting === undefined) return byPath(repository);
    return repository.replace(fitting.pattern, fitting.replacement);
  };
}

/** insecure-registries: names, name:port, addresses and CIDR ranges; loopback always. */
export class InsecureHosts {
  #ranges = new BlockList();
  #names = new Set<string>();
  readonly cidrs: string[] = [];

  constructor(entries: readonly string[]) {
    for (const entry of entries) this.#declare(entry);
  }

  #declare(entry: string): void {
    const [address = "", prefix] = entry.split("/");
    const family = isIP(address);
    const bits = Number(prefix);
    if (prefix && family !== 0 && /^\d{1,3}$/.test(prefix) && bits <= (family === 6 ? 128 : 32)) {
      this.#ranges.addSubnet(address, bits, family === 6 ? "ipv6" : "ipv4");
      this.cidrs.push(entry);
    } else this.#names.add(entry.replace(/^https?:\/\//, "").replace(/\/$/, ""));
  }

  get names(): readonly string[] {
    return [...this.#names];
  }

  /** `host` is "name", "name:port" or "[::1]:5000". */
  has(host: string): boolean {
    const name = hostnameOf(host);
    if (this.#names.has(host) || this.#names.has(name) || name === "localhost") return true;
    return this.hasAddress(name);
  }

  hasAddress(address: string): boolean {
    const family = isIP(address);
    if (family === 0) return false;
    return isLoopback(address) || this.#ranges.check(address, family === 6 ? "ipv6" : "ipv4");
  }
}

/** Without port and brackets. */
export function hostnameOf(host: string): string {
  if (host.startsWith("[")) return host.slice(1, host.indexOf("]"));
  return host.replace(/:\d+$/, "");
}
