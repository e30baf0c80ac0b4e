// Which proxy a request goes through, decided as Go's httpproxy does, because that is what people
// have written their NO_PROXY for: names with their subdomains, ".name" for subdomains alone,
// addresses, CIDR ranges, each with or without a port; this machine itself is never proxied.

import { BlockList, isIP } from "node:net";
import { GantryError } from "../base/index.ts";
import type { ProxySettings } from "./contract.ts";

/** Returns the proxy for a URL, or undefined. */
export type ProxyFor = (url: URL) => URL | undefined;
type Rule = (name: string, port: string) => boolean;

const PORTS: Record<string, string> = { "http:": "80", "https:": "443" };

/** Upper case first, as Go reads it. */
export function proxiesOfEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): ProxySettings {
  const read = (name: string): string => env[name] || env[name.toLowerCase()] || "";
  return {
    httpProxy: read("HTTP_PROXY"),
    httpsProxy: read("HTTPS_PROXY"),
    noProxy: read("NO_PROXY"),
  };
}

/** Throws invalid for a proxy that cannot be used. */
export function compileProxies({ httpProxy, httpsProxy, noProxy }: ProxySettings): ProxyFor {
  const plain = parseProxy(httpProxy);
  const secure = parseProxy(httpsProxy);
  const skips = noProxy
    .split(",")
    .map((entry) => entry.trim().toLowerCase())
    .filter((entry) => entry !== "")
    .map(compileSkip);
  return (url) => {
    const proxy = url.protocol === "https:" ? secure : plain;
    if (proxy === undefined) return undefined;
    const name = bare(url.hostname).toLowerCase().replace(/\.$/, "");
    if (name === "localhost" || isLoopback(name)) return undefined;
    const port = url.port || PORTS[url.protocol] || "";
    return skips.some((skip) => skip(name, port)) ? undefined : proxy;
  };
}

/** A proxy without a scheme is an http one. */
export function parseProxy(text: string): URL | undefined {
  if (text === "") return undefined;
  let url: URL;
  try {
    url = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  } catch (cause) {
    throw new GantryError("invalid", `invalid proxy address ${JSON.stringify(maskProxy(text))}`, {
      cause,
    });
  }
  if (/^(https?|socks5h?):$/.test(url.protocol) && url.hostname !== "") return url;
  throw new GantryError(
    "invalid",
    `unsupported proxy ${JSON.stringify(maskProxy(text))}: only http, https and socks5 proxies are supported`,
  );
}

/** For people: a password in the address is not shown. */
export function maskProxy(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/|)[^/@]*@/i, "$1xxxxx:xxxxx@");
}

function compileSkip(entry: string): Rule {
  if (entry === "*") return () => true;
  const range = /^(.+)\/(\d{1,3})$/.exec(entry);
  if (range && isIP(range[1]!) !== 0) return inRange(range[1]!, Number(range[2]));
  const [host, wantedPort] = splitPort(entry);
  const rightPort = (port: string): boolean => wantedPort === "" || wantedPort === port;
  if (isIP(host) !== 0) {
    const same = inRange(host, isIP(host) === 6 ? 128 : 32);
    return (name, port) => rightPort(port) && same(name, port);
  }
  const domain = host.replace(/^\*(?=\.)/, "");
  const suffix = domain.startsWith(".") ? domain : `.${domain}`;
  return (name, port) =>
    rightPort(port) && (name.endsWith(suffix) || (suffix !== domain && name === domain));
}

function inRange(address: string, bits: number): Rule {
  const family = isIP(address) === 6 ? "ipv6" : "ipv4";
  if (bits > (family === "ipv6" ? 128 : 32)) return () => false;
  const ranges = new BlockList();
  ranges.addSubnet(address, bits, family);
  return (name) => isIP(name) !== 0 && ranges.check(name, isIP(name) === 6 ? "ipv6" : "ipv4");
}

function splitPort(entry: string): [host: string, port: string] {
  if (isIP(entry) === 6) return [entry, ""];
  const match = /^(.*):(\d+)$/.exec(entry);
  return match ? [bare(match[1]!), match[2]!] : [bare(entry), ""];
}

function bare(host: string): string {
  return host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

export function isLoopback(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && loopback.check(address, family === 6 ? "ipv6" : "ipv4");
}
