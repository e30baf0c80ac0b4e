// docker-bake.json: groups, targets and variables. Texts may hold `${NAME}`; the expressions and
// functions of HCL are refused, with what to do.

import { GantryError } from "../../../../base/index.ts";
import { invalid } from "../request/specs.ts";
import { type BakeConfig, emptyConfig, isObject, readTarget } from "./target.ts";

export interface Variables {
  /** --var, before the environment. */
  given: Readonly<Record<string, string>>;
  environment: Readonly<Record<string, string | undefined>>;
}

export const HCL_REMEDY =
  "use `docker buildx bake --print` where it is installed to write it as JSON, " +
  "and give that file with -f";

/** Throws with the file's name. `before`: variables of earlier files. */
export function jsonConfig(
  text: string,
  file: string,
  { variables, before }: { variables: Variables; before: BakeConfig["variables"] },
): BakeConfig {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new GantryError("invalid", `${file}: ${(cause as Error).message}`, { cause });
  }
  if (!isObject(parsed)) throw invalid(`${file}: expected an object`);
  const config = emptyConfig();
  for (const key of Object.keys(parsed)) {
    if (key === "function") {
      throw new GantryError(
        "not-implemented",
        `${file}: functions are not supported: ${HCL_REMEDY}`,
      );
    }
    if (!["group", "target", "variable"].includes(key))
      throw invalid(`${file}: unknown block ${key}`);
  }
  const scope = new Map([...before].map(([name, { value }]) => [name, value]));
  for (const [name, block] of blocksOf(parsed["variable"], file)) {
    const value = variableValue(name, block, { variables, scope, file });
    scope.set(name, value);
    const description = typeof block["description"] === "string" ? block["description"] : "";
    config.variables.set(name, { value, description });
  }
  for (const [name, block] of blocksOf(parsed["group"], file)) {
    const targets = expanded(block["targets"] ?? [], scope, file);
    if (!Array.isArray(targets) || targets.some((one) => typeof one !== "string")) {
      throw invalid(`${file}: group ${name}: targets must be a list of names`);
    }
    config.groups.set(name, targets as string[]);
  }
  for (const [name, block] of blocksOf(parsed["target"], file)) {
    addTarget(config, { name, block, scope, file });
  }
  return config;
}

/** A target, or one for each combination of its matrix. */
function addTarget(
  config: BakeConfig,
  o: { name: string; block: Record<string, unknown>; scope: Map<string, string>; file: string },
): void {
  const { matrix, name: nameTemplate, ...fields } = o.block;
  const where = `${o.file}: target ${o.name}`;
  if (matrix === undefined) {
    if (nameTemplate !== undefined) throw invalid(`${where}: name requires matrix`);
    config.targets.set(o.name, readTarget(expanded(fields, o.scope, where), where));
    return;
  }
  if (typeof nameTemplate !== "string") throw invalid(`${where}: matrix requires name`);
  const names: string[] = [];
  for (const values of combinations(expanded(matrix, o.scope, where), where)) {
    const scope = new Map([...o.scope, ...values]);
    const name = expanded(nameTemplate, scope, where) as string;
    if (!/^[\w-]+$/.test(name)) throw invalid(`${where}: invalid target name ${name}`);
    config.targets.set(name, readTarget(expanded(fields, scope, where), where));
    names.push(name);
  }
  config.groups.set(o.name, names);
}

function combinations(matrix: unknown, where: string): Map<string, string>[] {
  if (!isObject(matrix)) throw invalid(`${where}: matrix must be a map`);
  let all = [new Map<string, string>()];
  for (const [key, list] of Object.entries(matrix)) {
    if (!Array.isArray(list)) throw invalid(`${where}: matrix values must be a list`);
    all = list.flatMap((value: unknown) =>
      all.map((before) => {
        const values = new Map(before);
        if (isObject(value)) {
          for (const [field, text] of Object.entries(value))
            values.set(`${key}.${field}`, `${text}`);
        } else values.set(key, String(value));
        return values;
      }),
    );
  }
  return all;
}

/** HCL in JSON writes a block as an object by name, or as a list of such objects. */
function blocksOf(value: unknown, file: string): [string, Record<string, unknown>][] {
  if (value === undefined) return [];
  const objects = Array.isArray(value) ? value : [value];
  return objects.flatMap((object: unknown) => {
    if (!isObject(object)) throw invalid(`${file}: expected blocks by name`);
    return Object.entries(object).flatMap(([name, block]) => {
      const all = Array.isArray(block) ? block : [block];
      return all.map((one: unknown): [string, Record<string, unknown>] => {
        if (!isObject(one)) throw invalid(`${file}: ${name} must be an object`);
        return [name, one];
      });
    });
  });
}

function variableValue(
  name: string,
  block: Record<string, unknown>,
  o: { variables: Variables; scope: Map<string, string>; file: string },
): string {
  const { given, environment } = o.variables;
  if (Object.hasOwn(given, name)) return given[name]!;
  const fromEnvironment = environment[name];
  if (fromEnvironment !== undefined) return fromEnvironment;
  const value = expanded(block["default"] ?? "", o.scope, `${o.file}: variable ${name}`);
  if (typeof value === "object") {
    throw new GantryError(
      "not-implemented",
      `${o.file}: variable ${name}: lists and objects as variables are not supported: ${HCL_REMEDY}`,
    );
  }
  return String(value);
}

const TEMPLATE = /\$\$\{|%%\{|\$\{([^}]*)\}|%\{/g;

/** Replaces `${NAME}` in every text. */
function expanded(value: unknown, scope: ReadonlyMap<string, string>, where: string): unknown {
  if (Array.isArray(value)) return value.map((one) => expanded(one, scope, where));
  if (isObject(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [key, expanded(one, scope, where)]),
    );
  }
  if (typeof value !== "string") return value;
  return value.replace(TEMPLATE, (whole, expression: string | undefined) => {
    if (whole === "$${") return "${";
    if (whole === "%%{") return "%{";
    const name = expression?.trim() ?? "";
    if (!/^[A-Za-z_][\w.-]*$/.test(name)) {
      throw new GantryError(
        "not-implemented",
        `${where}: the expression ${whole} is not supported: ${HCL_REMEDY}`,
      );
    }
    const found = scope.get(name);
    if (found === undefined) throw invalid(`${where}: there is no variable named "${name}"`);
    return found;
  });
}
