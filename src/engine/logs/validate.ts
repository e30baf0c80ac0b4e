// Which log options there are, checked when a container is created and when the daemon starts, in
// dockerd's order and words. What values mean is found out at the start of a container, as there.

import { GantryError, messageOf, parseBool, parseRamBytes } from "../../base/index.ts";
import type { RemoteLogDriver } from "./contract.ts";

const COMMON_OPTIONS = [
  ...["mode", "max-buffer-size"],
  ...["cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"],
];
const LOCAL_OPTIONS = ["max-file", "max-size", "compress"];
const JSON_FILE_OPTIONS = [
  ...LOCAL_OPTIONS,
  ...["labels", "labels-regex", "env", "env-regex", "tag"],
];

/** Throws invalid. `remote` finds drivers that ship logs elsewhere. */
export function checkLogOptions(
  type: string,
  options: Readonly<Record<string, string>>,
  remote: (name: string) => RemoteLogDriver | undefined,
): void {
  if (type === "none") return;
  checkMode(options);
  const cacheDisabled = options["cache-disabled"] ?? "";
  if (cacheDisabled !== "" && !isBool(cacheDisabled)) {
    throw invalid(`invalid value for option cache-disabled: ${cacheDisabled}`);
  }
  const own = Object.entries(options).filter(([key]) => !COMMON_OPTIONS.includes(key));
  if (type === "json-file") {
    refuseUnknown(
      own,
      JSON_FILE_OPTIONS,
      (key) => `unknown log opt '${key}' for json-file log driver`,
    );
    return;
  }
  if (type === "local") {
    refuseUnknown(own, LOCAL_OPTIONS, (key) => `unknown log opt '${key}' for log driver local`);
    return;
  }
  const driver = remote(type);
  if (!driver) {
    const plugin = `plugin ${JSON.stringify(type)} not found`;
    throw invalid(`error looking up logging plugin ${type}: ${plugin}`);
  }
  driver.validate(Object.fromEntries(own));
}

function checkMode({ mode = "", "max-buffer-size": bufferSize }: Readonly<Record<string, string>>) {
  if (!["", "blocking", "non-blocking"].includes(mode)) {
    throw invalid(`logger: logging mode not supported: ${mode}`);
  }
  if (bufferSize === undefined) return;
  if (mode !== "non-blocking") {
    throw invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  }
  try {
    parseRamBytes(bufferSize);
  } catch (cause) {
    throw invalid(`error parsing option max-buffer-size: ${messageOf(cause)}`);
  }
}

function refuseUnknown(
  options: [string, string][],
  known: readonly string[],
  word: (key: string) => string,
): void {
  const unknown = options.find(([key]) => !known.includes(key));
  if (unknown) throw invalid(word(unknown[0]));
}

function isBool(text: string): boolean {
  try {
    parseBool(text);
    return true;
  } catch {
    return false;
  }
}

const invalid = (message: string): GantryError => new GantryError("invalid", message);
