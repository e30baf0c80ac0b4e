// Platforms as containerd writes and normalizes them ("linux/arm64", "linux/arm/v7"): the one place
// that knows the aliases of architectures and which variant goes without saying.

import { GantryError } from "../base/index.ts";

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

const ARCHITECTURES: Record<string, Omit<Platform, "os">> = {
  x86_64: { architecture: "amd64" },
  "x86-64": { architecture: "amd64" },
  i386: { architecture: "386" },
  aarch64: { architecture: "arm64" },
  armhf: { architecture: "arm", variant: "v7" },
  armel: { architecture: "arm", variant: "v6" },
};
const SYSTEMS: Record<string, string> = { macos: "darwin" };
const SYSTEM_NAMES = ["linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris"];

/** Aliases resolved; a variant that goes without saying (amd64/v1, arm64/v8) left out. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase();
  const written = platform.architecture.toLowerCase();
  const alias = Object.hasOwn(ARCHITECTURES, written) ? ARCHITECTURES[written] : undefined;
  const architecture = alias?.architecture ?? written;
  const digits = /^v?(\d+)$/i.exec(platform.variant ?? "");
  let variant = digits ? `v${digits[1]}` : (platform.variant?.toLowerCase() ?? alias?.variant);
  if (architecture === "arm") variant ||= "v7";
  if (architecture === "arm64" && variant === "v8") variant = undefined;
  if (architecture === "amd64" && variant === "v1") variant = undefined;
  return {
    os: Object.hasOwn(SYSTEMS, os) ? SYSTEMS[os]! : os,
    architecture,
    ...(variant ? { variant } : {}),
  };
}

/** "linux/arm64/v8", "arm64", "linux" → a platform; `host` gives what is not said. */
export function readPlatform(text: string, host: Platform): Platform {
  const parts = text.split("/");
  if (parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_.-]+$/.test(part))) {
    throw new GantryError(
      "invalid",
      `"${text}": cannot parse platform specifier: invalid argument`,
    );
  }
  const [first = "", second, variant] = parts;
  if (second !== undefined) {
    return normalizePlatform({ os: first, architecture: second, ...(variant ? { variant } : {}) });
  }
  const lower = first.toLowerCase();
  const isSystem = SYSTEM_NAMES.includes(lower) || Object.hasOwn(SYSTEMS, lower);
  if (isSystem) return normalizePlatform({ ...host, os: first });
  return normalizePlatform({ os: host.os, architecture: first });
}

/** "linux/arm/v7". */
export function writePlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant ? [variant] : [])].join("/");
}
