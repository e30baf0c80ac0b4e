// The build sections of a compose file as targets, one for each service that has one, with
// compose's interpolation and the x-bake extension.

import { GantryError, messageOf } from "../../../../base/index.ts";
import { attestationShorthand, invalid } from "../request/specs.ts";
import {
  type BakeConfig,
  type BakeTarget,
  emptyConfig,
  isObject,
  mergeTargets,
  readTarget,
} from "./target.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const KNOWN = new Set(
  (
    "context dockerfile dockerfile_inline args target cache_from cache_to labels network platforms " +
    "secrets ssh tags additional_contexts extra_hosts shm_size ulimits no_cache pull sbom provenance " +
    "entitlements x-bake"
  ).split(" "),
);

export async function composeConfig(
  text: string,
  file: string,
  environment: Environment,
): Promise<BakeConfig> {
  const { parse } = await import("yaml");
  let parsed: unknown;
  try {
    parsed = interpolated(parse(text, { merge: true }), environment);
  } catch (cause) {
    throw new GantryError("invalid", `${file}: ${messageOf(cause)}`, { cause });
  }
  const config = emptyConfig();
  const services = isObject(parsed) ? parsed["services"] : undefined;
  if (!isObject(services)) throw invalid(`${file}: no services: is it a compose file?`);
  const secrets = isObject(parsed) && isObject(parsed["secrets"]) ? parsed["secrets"] : {};
  const names: string[] = [];
  for (const [service, definition] of Object.entries(services)) {
    if (!isObject(definition) || definition["build"] === undefined) continue;
    const name = service.replaceAll(".", "_");
    const where = `${file}: service ${service}`;
    config.targets.set(name, targetOf(definition, { secrets, where, environment }));
    names.push(name);
  }
  config.groups.set("default", names);
  return config;
}

function targetOf(
  service: Record<string, unknown>,
  {
    secrets,
    where,
    environment,
  }: { secrets: Record<string, unknown>; where: string; environment: Environment },
): BakeTarget {
  const given = service["build"];
  const build = typeof given === "string" ? { context: given } : given;
  if (!isObject(build)) throw invalid(`${where}: build must be a string or a mapping`);
  for (const key of Object.keys(build)) {
    if (!KNOWN.has(key)) {
      throw new GantryError("not-implemented", `${where}: build.${key} is not supported in bake`);
    }
  }
  const tags = listOf(build["tags"]);
  const image = service["image"];
  const fields = {
    context: build["context"],
    dockerfile: build["dockerfile"],
    "dockerfile-inline": build["dockerfile_inline"],
    target: build["target"],
    network: build["network"],
    "shm-size": build["shm_size"],
    pull: build["pull"],
    "no-cache": build["no_cache"],
    args: mapOf(build["args"], (name) => environment[name] ?? null),
    labels: mapOf(build["labels"], () => ""),
    contexts: contextsOf(build["additional_contexts"]),
    "extra-hosts": hostsOf(build["extra_hosts"]),
    tags: tags.length > 0 ? tags : typeof image === "string" ? [image] : undefined,
    platforms: build["platforms"],
    "cache-from": build["cache_from"],
    "cache-to": build["cache_to"],
    entitlements: build["entitlements"],
    secret: listOf(build["secrets"]).map((one) => secretOf(one, secrets, where)),
    ssh: sshOf(build["ssh"]),
    ulimits: ulimitsOf(build["ulimits"]),
    attest: (["sbom", "provenance"] as const)
      .filter((type) => build[type] !== undefined)
      .map((type) => attestationShorthand(type, String(build[type]))),
  };
  const shown = Object.fromEntries(
    Object.entries(fields).filter(([, one]) => one !== undefined && !isEmptyList(one)),
  );
  const target = readTarget(shown, where);
  const extension = build["x-bake"];
  return extension === undefined ? target : mergeTargets(target, extensionOf(extension, where));
}

const isEmptyList = (value: unknown) => Array.isArray(value) && value.length === 0;

/** x-bake writes lists as texts, too: "a b". */
function extensionOf(value: unknown, where: string): BakeTarget {
  if (!isObject(value)) throw invalid(`${where}: x-bake must be a mapping`);
  const { contexts, pull, "no-cache": noCache, ...lists } = value;
  const split = Object.entries(lists).map(([key, one]) => [
    key,
    typeof one === "string" ? one.split(/\s+/) : one,
  ]);
  const fields = {
    ...Object.fromEntries(split),
    ...(contexts === undefined ? {} : { contexts: contextsOf(contexts) }),
    ...(pull === undefined ? {} : { pull }),
    ...(noCache === undefined ? {} : { "no-cache": noCache }),
  };
  return readTarget(fields, `${where}: x-bake`);
}

function listOf(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

/** A mapping, or a list of "name=value". */
function mapOf(
  value: unknown,
  missing: (name: string) => string | null,
): Record<string, unknown> | undefined {
  if (value === undefined || value === null) return undefined;
  const out: Record<string, unknown> = {};
  if (isObject(value)) {
    for (const [name, one] of Object.entries(value)) out[name] = one ?? missing(name);
    return out;
  }
  for (const item of listOf(value)) {
    const text = String(item);
    const equals = text.indexOf("=");
    if (equals < 0) out[text] = missing(text);
    else out[text.slice(0, equals)] = text.slice(equals + 1);
  }
  return out;
}

function contextsOf(value: unknown): Record<string, unknown> | undefined {
  const map = mapOf(value, () => "");
  if (!map) return undefined;
  return Object.fromEntries(
    Object.entries(map).map(([name, one]) => [
      name,
      String(one).replace(
        /^(?:service|target):(.*)$/,
        (_, other: string) => `target:${other.replaceAll(".", "_")}`,
      ),
    ]),
  );
}

function hostsOf(value: unknown): Record<string, unknown> | undefined {
  if (Array.isArray(value)) {
    return mapOf(
      value.map((text) => String(text).replace(/^([^:=]+)[:=]/, "$1=")),
      () => "",
    );
  }
  return mapOf(value, () => "");
}

function secretOf(item: unknown, secrets: Record<string, unknown>, where: string): string {
  const source = isObject(item) ? String(item["source"]) : String(item);
  const found = secrets[source];
  if (!isObject(found)) throw invalid(`${where}: undefined secret ${source}`);
  if (found["external"] === true) throw invalid(`${where}: unsupported external secret ${source}`);
  if (found["environment"] !== undefined) return `id=${source},env=${String(found["environment"])}`;
  return `id=${source},src=${String(found["file"])}`;
}

function sshOf(value: unknown): string[] {
  if (isObject(value)) {
    return Object.entries(value).map(([id, path]) => (path ? `${id}=${String(path)}` : id));
  }
  return listOf(value).map(String);
}

function ulimitsOf(value: unknown): string[] {
  if (!isObject(value)) return [];
  return Object.entries(value).map(([name, limit]) => {
    if (!isObject(limit)) return `${name}=${String(limit)}`;
    return `${name}=${String(limit["soft"])}:${String(limit["hard"])}`;
  });
}

/** Compose's `$NAME` and `${NAME…}` in every text; `$$` is a dollar. */
export function interpolated(value: unknown, environment: Environment): unknown {
  if (Array.isArray(value)) return value.map((one) => interpolated(one, environment));
  if (isObject(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [key, interpolated(one, environment)]),
    );
  }
  return typeof value === "string" ? interpolateText(value, environment) : value;
}

const REFERENCE =
  /\$\$|\$([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)(?:(:?[-?+])((?:[^{}]|\{[^{}]*\})*))?\}|\$/g;

function interpolateText(text: string, environment: Environment): string {
  return text.replace(
    REFERENCE,
    (whole, plain?: string, name?: string, sign?: string, word = "") => {
      if (whole === "$$") return "$";
      if (whole === "$") throw invalid(`invalid interpolation format: ${JSON.stringify(text)}`);
      const value = environment[plain ?? name!];
      if (sign === undefined) return value ?? "";
      const isSet = sign.startsWith(":")
        ? value !== undefined && value !== ""
        : value !== undefined;
      const other = () => interpolateText(word as string, environment);
      if (sign.endsWith("-")) return isSet ? value! : other();
      if (sign.endsWith("+")) return isSet ? other() : "";
      if (!isSet) throw invalid(`required variable ${name} is missing a value: ${other()}`);
      return value!;
    },
  );
}
