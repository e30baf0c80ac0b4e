// What a log shows of a configuration: not the passwords within addresses (proxies, mirrors), nor
// the values of options whose name says that they are secret (a log driver's token). Pure.

const HIDDEN = "*****";
const SECRET_NAME = /token|secret|password|passphrase|credential/i;
/** user:password@ of an address, with or without its scheme. */
const USER_INFO = /(^|:\/\/|[\s,"])[^\s/@,"]+:[^\s/@,"]*@/g;

/** The value with everything that is secret replaced. */
export function conceal(value: unknown, name = ""): unknown {
  if (typeof value === "string") {
    if (SECRET_NAME.test(name) && value !== "") return HIDDEN;
    return value.replace(USER_INFO, `$1xxxxx:xxxxx@`);
  }
  if (Array.isArray(value)) return value.map((one) => conceal(one, name));
  if (typeof value !== "object" || value === null) return value;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return Object.fromEntries(entries.map(([key, one]) => [key, conceal(one, String(key))]));
}
