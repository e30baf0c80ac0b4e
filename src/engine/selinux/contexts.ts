// Security contexts as text ("user:role:type[:level]"), and the file of a policy that says which
// ones containers have (contexts/lxc_contexts). Pure.

import { GantryError } from "../../base/index.ts";

export interface Context {
  user: string;
  role: string;
  type: string;
  /** "" where the policy has no levels. */
  level: string;
}

/** What a policy says of containers. */
export interface PolicyContexts {
  process: string;
  file: string;
}

/** Throws invalid. A level has colons of its own. */
export function parseContext(text: string): Context {
  const [user, role, type, ...level] = text.split(":");
  if (type === undefined) throw new GantryError("invalid", `invalid SELinux label: ${text}`);
  return { user: user!, role: role!, type, level: level.join(":") };
}

export const formatContext = ({ user, role, type, level }: Context): string =>
  [user, role, type, ...(level === "" ? [] : [level])].join(":");

/** `key = "value"` lines; undefined where it does not say what processes and files have. */
export function parseContexts(text: string): PolicyContexts | undefined {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, key, value] = /^\s*([^\s=;#][^=]*?)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (key !== undefined) values.set(key, value!.replaceAll('"', ""));
  }
  const process = values.get("process");
  const file = values.get("file");
  return process && file ? { process, file } : undefined;
}

/** The policy that /etc/selinux/config names. */
export function policyType(config: string): string {
  return /^\s*SELINUXTYPE\s*=\s*"?([\w.-]+)/m.exec(config)?.[1] ?? "targeted";
}
