// linux.personality: what a program hears of the machine (uname says i686 beneath LINUX32).
// Source: include/uapi/linux/personality.h; runtime-spec config-linux.md.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciLinux } from "../spec/index.ts";

const DOMAINS: Readonly<Record<string, number>> = { LINUX: 0, LINUX32: 8 };

/** Throws invalid: no flag is defined. */
export function planPersonality(personality: OciLinux["personality"]): Operation[] {
  if (!personality) return [];
  const { domain, flags = [] } = personality;
  const value = Object.hasOwn(DOMAINS, domain) ? DOMAINS[domain] : undefined;
  if (value === undefined || flags.length > 0) {
    throw new GantryError("invalid", `invalid personality ${JSON.stringify(personality)}`);
  }
  return [{ op: "personality", value }];
}
