// The daemon's proxies: flags or "proxies" in daemon.json, over the environment, as in dockerd.

import { GantryError } from "../base/index.ts";
import type { EngineOptions } from "../engine/index.ts";

type ProxySettings = NonNullable<EngineOptions["distribution"]["proxies"]>;
interface Reader {
  text(key: string): string;
  map(key: string): Record<string, unknown>;
}
const KEYS = ["http-proxy", "https-proxy", "no-proxy"] as const;

/** Upper case first, as Go reads it. Throws invalid for one that is set twice. */
export function proxySettings(read: Reader, env: NodeJS.ProcessEnv): ProxySettings {
  const file = read.map("proxies");
  const value = (key: (typeof KEYS)[number]): string => {
    const own = file[key] ?? "";
    if (typeof own !== "string") throw invalid(`invalid proxies: ${key} must be a string`);
    const flag = read.text(key);
    if (own !== "" && flag !== "" && own !== flag) {
      throw invalid(
        "the following directives are specified both as a flag and in the configuration file: " +
          `${key}: (from flag: ${masked(flag)}, from file: ${masked(own)})`,
      );
    }
    const variable = key.replace("-", "_");
    return own || flag || env[variable.toUpperCase()] || env[variable] || "";
  };
  const settings = {
    httpProxy: value("http-proxy"),
    httpsProxy: value("https-proxy"),
    noProxy: value("no-proxy"),
  };
  for (const proxy of [settings.httpProxy, settings.httpsProxy]) checkProxy(proxy);
  return settings;
}

function checkProxy(text: string): void {
  if (text === "") return;
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  if (url !== null && /^(https?|socks5h?):$/.test(url.protocol)) return;
  throw invalid(
    `invalid proxy ${JSON.stringify(masked(text))}: only http://, https:// and socks5:// proxies are supported`,
  );
}

const masked = (text: string): string =>
  text.replace(/^([a-z][a-z0-9+.-]*:\/\/|)[^/@]*@/i, "$1xxxxx:xxxxx@");

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}
