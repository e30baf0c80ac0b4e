// What the monitor has to know of a container's log: from docker's log options. Pure.

import { GantryError, parseDiskBytes } from "../../base/index.ts";
import type { MonitorConfig } from "../../native/index.ts";
import type { ContainerConfig, HostConfig } from "../../spec/index.ts";

/** No limit, as docker has it. */
const MAX_BYTES_DEFAULT = 0;
const SHORT_ID = 12;

/** Undefined for driver "none". Throws invalid with docker's wording. */
export function monitorLog(
  path: string,
  config: ContainerConfig,
  host: HostConfig,
  names: Record<string, string> = {},
): MonitorConfig["log"] | undefined {
  if (host.LogConfig?.Type === "none") return undefined;
  const options = host.LogConfig?.Config ?? {};
  const maxBytes = options["max-size"] ? sizeOf(options["max-size"]) : MAX_BYTES_DEFAULT;
  const maxFiles = options["max-file"] === undefined ? 1 : Number(options["max-file"]);
  if (!Number.isInteger(maxFiles) || maxFiles < 1) {
    throw new GantryError("invalid", "max-file cannot be less than 1");
  }
  const compress = options["compress"] === "true";
  if (compress && (maxFiles === 1 || maxBytes === 0)) {
    throw new GantryError(
      "invalid",
      "compress cannot be true when max-file is less than 2 or max-size is not set",
    );
  }
  if (compress) {
    const why = "compressing rotated log files is not supported yet: leave log-opt compress out";
    throw new GantryError("invalid", why);
  }
  return { path, maxBytes, maxFiles, attrs: logAttributes(config, options, names), compress };
}

function sizeOf(text: string): number {
  const bytes = parseDiskBytes(text);
  if (bytes <= 0) throw new GantryError("invalid", "max-size should be a positive number");
  return bytes;
}

/** The labels and variables that `labels`, `env` and their -regex forms name, as JSON text. */
function logAttributes(
  config: ContainerConfig,
  options: Record<string, string>,
  names: Record<string, string>,
): string {
  const labels = Object.entries(config.Labels ?? {});
  const env = (config.Env ?? []).map((entry): [string, string] => {
    const equals = entry.indexOf("=");
    return equals < 0 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)];
  });
  const chosen = [
    ...labels.filter(([key]) => isNamed(key, options["labels"], options["labels-regex"])),
    ...env.filter(([key]) => isNamed(key, options["env"], options["env-regex"])),
    ...(options["tag"] ? [["tag", expandTag(options["tag"], names)] as [string, string]] : []),
  ];
  return chosen.length > 0 ? JSON.stringify(Object.fromEntries(chosen)) : "";
}

/** What a tag's template can name (`{{.Name}}`), of this container. */
export function tagNames(c: { id: string; name: string; imageId: string; imageName: string }) {
  const imageFullId = c.imageId;
  const imageId = imageFullId.replace(/^sha256:/, "").slice(0, SHORT_ID);
  return {
    ...{ ID: c.id.slice(0, SHORT_ID), FullID: c.id, Name: c.name, DaemonName: "docker" },
    ...{ ImageID: imageId, ImageFullID: imageFullId, ImageName: c.imageName },
  };
}

function expandTag(template: string, names: Record<string, string>): string {
  return template.replace(/\{\{\s*(.*?)\s*\}\}/g, (whole, field: string) => {
    const value = names[field.replace(/^\./, "")];
    if (field.startsWith(".") && value !== undefined) return value;
    throw new GantryError(
      "invalid",
      `failed to initialize logging driver: ${whole} is not supported in a tag: ` +
        `use ${Object.keys(names).join(", ")}`,
    );
  });
}

function isNamed(key: string, list: string | undefined, pattern: string | undefined): boolean {
  if (list?.split(",").includes(key)) return true;
  return pattern !== undefined && pattern !== "" && new RegExp(pattern).test(key);
}
