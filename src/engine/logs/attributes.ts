// What stands beside each line of a log: the labels and variables that options name, and the tag,
// a template over what is known of the container. Pure.

import { hostname } from "node:os";
import { GantryError, messageOf } from "../../base/index.ts";
import type { ContainerConfig, HostConfig } from "../../spec/index.ts";
import { compileTemplate, TemplateObject } from "../../template/index.ts";
import { linearExpression } from "./search.ts";

const SHORT_ID = 12;
/** A tag is a few words, and runs in the daemon. */
const LIMITS = { stepsMax: 10_000, outputCharactersMax: 1_000_000 };

/** What drivers know of a container. */
export interface LogInfo {
  id: string;
  name: string;
  imageId: string;
  imageName: string;
  created: string;
  path: string;
  args: readonly string[];
  config: ContainerConfig;
  hostConfig: HostConfig;
}

/** The labels and variables that `labels`, `env` and their -regex forms name. `rename` gives keys
 * the form that a driver wants. Throws invalid for a bad expression. */
export function extraAttributes(
  c: LogInfo,
  rename: (key: string) => string = (key) => key,
): Record<string, string> {
  const options = c.hostConfig.LogConfig?.Config ?? {};
  const chosen: Record<string, string> = {};
  const labels = chooser(options["labels"], options["labels-regex"]);
  for (const [key, value] of Object.entries(c.config.Labels ?? {})) {
    if (labels(key)) chosen[rename(key)] = value;
  }
  const variables = chooser(options["env"], options["env-regex"]);
  for (const entry of c.config.Env ?? []) {
    const equals = entry.indexOf("=");
    if (equals < 0) continue;
    const key = entry.slice(0, equals);
    if (variables(key)) chosen[rename(key)] = entry.slice(equals + 1);
  }
  return chosen;
}

function chooser(list: string | undefined, pattern: string | undefined): (key: string) => boolean {
  const names = new Set(list ? list.split(",") : []);
  const expression = pattern ? linearExpression(pattern) : undefined;
  return (key) => names.has(key) || expression?.test(key) === true;
}

/** JSON text of a json-file line's "attrs", or "". */
export function attributesText(c: LogInfo): string {
  const attributes = extraAttributes(c);
  const tag = logTag(c, "");
  if (tag !== "") attributes["tag"] = tag;
  const sorted = Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.length > 0 ? JSON.stringify(Object.fromEntries(sorted)) : "";
}

/** The `tag` option (or `fallback`), a template, over this container. Throws invalid, in Go's
 * words, for one that does not compile or asks for what is not there. */
export function logTag(c: LogInfo, fallback: string): string {
  const template = c.hostConfig.LogConfig?.Config?.["tag"] || fallback;
  try {
    return compileTemplate(template, "log-tag").execute(new TagFields(c), { limits: LIMITS });
  } catch (cause) {
    if (cause instanceof GantryError) throw cause;
    throw new GantryError("invalid", messageOf(cause), { cause });
  }
}

/** Docker's logger.Info: fields of the container, and methods that shorten them. */
class TagFields extends TemplateObject {
  readonly goType = "*logger.Info";
  #members: Record<string, unknown>;

  constructor(c: LogInfo) {
    super();
    const imageName = c.imageName;
    const methods = {
      ID: c.id.slice(0, SHORT_ID),
      FullID: c.id,
      Name: c.name.replace(/^\//, ""),
      ImageID: c.imageId.replace(/^sha256:/, "").slice(0, SHORT_ID),
      ImageFullID: c.imageId,
      ImageName: imageName,
      Command: [c.path, ...c.args].join(" "),
      Hostname: hostname(),
    };
    this.#members = {
      Config: { ...c.hostConfig.LogConfig?.Config },
      ContainerID: c.id,
      ContainerName: `/${methods.Name}`,
      ContainerEntrypoint: c.path,
      ContainerArgs: [...c.args],
      ContainerImageID: c.imageId,
      ContainerImageName: imageName,
      ContainerCreated: c.created,
      ContainerEnv: [...(c.config.Env ?? [])],
      ContainerLabels: { ...c.config.Labels },
      LogPath: "",
      DaemonName: "docker",
      ...methods,
    };
  }

  member(name: string): unknown {
    return this.#members[name];
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#members, name);
  }

  show(): string {
    return JSON.stringify(this.toJSON());
  }

  toJSON(): unknown {
    const { Config, DaemonName, LogPath } = this.#members;
    const ofContainer = Object.entries(this.#members).filter(([key]) => /^Container/.test(key));
    return { Config, ...Object.fromEntries(ofContainer), LogPath, DaemonName };
  }
}
