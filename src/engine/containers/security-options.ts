// `--security-opt` parsed, with docker's wording. "=" separates name and value; ":" is the old way.

import { GantryError } from "../../base/index.ts";
import type { EngineContext, SecurityDefaults } from "../context.ts";

export interface SecurityOptions {
  noNewPrivileges: boolean;
  /** "unconfined", JSON text of a profile, or undefined for the default. */
  seccomp?: string;
  /** What was asked for. */
  apparmor?: string;
  /** The daemon's own profile for containers; absent: AppArmor is off, or has none of ours. */
  apparmorDefault?: string;
  labels: string[];
  systemPathsUnconfined: boolean;
  writableCgroups: boolean;
}

/** `defaults` are the daemon's, for what the options leave open. */
export function parseSecurityOptions(
  options: readonly string[] = [],
  defaults: SecurityDefaults = { noNewPrivileges: false },
): SecurityOptions {
  const result: SecurityOptions = {
    noNewPrivileges: defaults.noNewPrivileges,
    ...(defaults.seccomp !== undefined && { seccomp: defaults.seccomp }),
    ...(defaults.apparmor !== undefined && { apparmorDefault: defaults.apparmor }),
    labels: [],
    systemPathsUnconfined: false,
    writableCgroups: false,
  };
  for (const option of options) {
    if (option === "no-new-privileges") {
      result.noNewPrivileges = true;
      continue;
    }
    if (option === "disable") {
      result.labels.push("disable");
      continue;
    }
    const [, name = "", value = ""] = /^([^=:]*)[=:]([\s\S]*)$/.exec(option) ?? [];
    if (name === "") {
      throw new GantryError("invalid", `invalid --security-opt 1: ${JSON.stringify(option)}`);
    }
    applyOption(result, option, name, value);
  }
  return result;
}

function applyOption(result: SecurityOptions, option: string, name: string, value: string): void {
  switch (name) {
    case "label":
      result.labels.push(value);
      return;
    case "apparmor":
      result.apparmor = value;
      return;
    case "seccomp":
      // "builtin" is our own filter, whatever the daemon's default is.
      if (value === "builtin") delete result.seccomp;
      else result.seccomp = value;
      return;
    case "no-new-privileges":
      result.noNewPrivileges = parseBoolean(option, value);
      return;
    case "userns":
      return; // see user-namespace.ts
    case "writable-cgroups":
      result.writableCgroups = parseBoolean(option, value);
      return;
    case "systempaths":
      if (value === "unconfined") {
        result.systemPathsUnconfined = true;
        return;
      }
  }
  throw new GantryError("invalid", `invalid --security-opt 2: ${JSON.stringify(option)}`);
}

function parseBoolean(option: string, value: string): boolean {
  if (/^(1|t|true)$/i.test(value)) return true;
  if (/^(0|f|false)$/i.test(value)) return false;
  throw new GantryError("invalid", `invalid --security-opt 2: ${JSON.stringify(option)}`);
}

/** What holds for containers whose options leave it open. */
export function securityDefaults({ options, apparmor }: EngineContext): SecurityDefaults {
  return {
    noNewPrivileges: false,
    ...options.defaults.security,
    ...(apparmor.profile !== undefined && { apparmor: apparmor.profile }),
  };
}

/** The name of the AppArmor profile as inspect shows it: what is asked for comes first, and a
 * privileged container has none by itself. */
export function apparmorProfile(
  privileged: boolean,
  { apparmor, apparmorDefault }: SecurityOptions,
): string | undefined {
  if (apparmor) return apparmor;
  return privileged && apparmorDefault ? "unconfined" : apparmorDefault;
}
