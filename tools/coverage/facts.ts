// The checklists of Docker's API, its command line and the OCI runtime, as data. The full tables
// live beside the repository (../shared/facts); docs/reference/facts keeps what the coverage tools
// need of them, so that they work in a clone of its own. Where both are there and differ, the tool
// says so, and `--refresh` writes the copies anew.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const COPIES = join(root, "docs/reference/facts");
const ORIGINALS = join(root, "../shared/facts");
const SHORT_FLAGS_CHARS = 40;

export type Table = "api" | "api-fields" | "cli" | "oci-runtime";

export interface Operation {
  method: string;
  path: string;
  id: string;
  swarm: boolean;
  query: string;
  headers: string;
  body: string;
}
export interface Field {
  name: string;
  type: string;
}
export interface CommandFact {
  path: string;
  group: string;
  isGroup: boolean;
  swarm: boolean;
  aliases: string[];
  flags: string;
}

/** The lines of a committed copy, without its first. */
export function readCopy(table: Table): string[][] {
  return cellsOf(readFileSync(join(COPIES, `${table}.tsv`), "utf8")).slice(1);
}

/** Copies that differ from the tables beside the repository; none where those are not there. */
export function staleCopies(): Table[] {
  return TABLES.filter((table) => {
    const made = condensed(table);
    return made !== undefined && made !== readFileSync(join(COPIES, `${table}.tsv`), "utf8");
  });
}

export function refreshCopies(): void {
  mkdirSync(COPIES, { recursive: true });
  for (const table of TABLES) {
    const made = condensed(table);
    if (made === undefined) throw new Error(`No ${table}.tsv in ${ORIGINALS}`);
    writeFileSync(join(COPIES, `${table}.tsv`), made);
  }
}

const TABLES: readonly Table[] = ["api", "api-fields", "cli", "oci-runtime"];

function condensed(table: Table): string | undefined {
  const path = join(ORIGINALS, `${table}.tsv`);
  if (!existsSync(path)) return undefined;
  const rows = cellsOf(readFileSync(path, "utf8")).slice(1);
  const condense = {
    ...{ api: condensedApi, "api-fields": condensedFields, cli: condensedCli },
    "oci-runtime": condensedOci,
  }[table];
  const lines = condense(rows);
  return `${lines.map((cells) => cells.join("\t").trimEnd()).join("\n")}\n`;
}

function condensedApi(rows: string[][]): string[][] {
  const head = ["method", "path", "operation", "swarm", "query", "headers", "body"];
  return [head, ...rows.map((row) => [0, 1, 2, 6, 7, 8, 9].map((column) => row[column] ?? ""))];
}

/** One line a definition; a field's type is kept only where it leads to other fields. */
function condensedFields(rows: string[][]): string[][] {
  const byName = Map.groupBy(rows, ([definition]) => definition!);
  const lines = [...byName].map(([definition, fields]) => {
    const words = fields.map(([, name, type = ""]) => {
      const leads = byName.has(innerType(type)) || type.startsWith("map<");
      return leads ? `${name}:${byName.has(innerType(type)) ? type : "map<>"}` : name;
    });
    return [definition, words.join(" ")];
  });
  return [["definition", "fields"], ...lines];
}

/** Flags that another command has in the very same words are written once. */
function condensedCli(rows: string[][]): string[][] {
  const written = new Map<string, string>();
  const lines = rows.map((row) => {
    const [group = "", command = "", kind = "", , aliases = "", swarm = "", all = ""] = row;
    const before = written.get(all);
    const flags = before === undefined || all.length < SHORT_FLAGS_CHARS ? all : `= ${before}`;
    if (before === undefined) written.set(all, command);
    return [group, command, kind, aliases, swarm === "swarm" ? "swarm" : "", flags];
  });
  return [["group", "command", "kind", "aliases", "swarm", "flags"], ...lines];
}

/** Of the runtime's commands the flags count too; of everything else the name says it. */
function condensedOci(rows: string[][]): string[][] {
  const lines = rows.map(([kind = "", name = "", , flags = ""]) => [
    ...[kind, name],
    kind === "runc-cmd" ? flags : "",
  ]);
  return [["kind", "name", "flags"], ...lines];
}

export function operations(): Operation[] {
  return readCopy("api").map(([method, path, id, swarm, query, headers, body]) => ({
    method: method!,
    path: path!,
    id: id || `${method} ${path}`,
    swarm: swarm === "swarm",
    query: query ?? "",
    headers: headers ?? "",
    body: body ?? "",
  }));
}

export function definitions(): Map<string, Field[]> {
  const lines = readCopy("api-fields");
  return new Map(lines.map(([name, fields]) => [name!, fieldsOf(fields ?? "")]));
}

/** Fields in the words of the table: "Id Mounts:[MountPoint] Labels:map<>". */
export function fieldsOf(words: string): Field[] {
  const fields = words.split(" ").filter((word) => word !== "");
  return fields.map((word) => {
    const colon = word.indexOf(":");
    return colon < 0
      ? { name: word, type: "" }
      : { name: word.slice(0, colon), type: word.slice(colon + 1) };
  });
}

/**
 * Every field beneath `fields` as a path: "Mounts.BindOptions.Propagation". Lists have no step of
 * their own; a map's keys are one step, "*".
 */
export function fieldPaths(fields: readonly Field[], known: Map<string, Field[]>): string[] {
  const paths = new Set<string>();
  const add = (more: readonly Field[], prefix: string, within: readonly string[]) => {
    for (const { name, type } of more) {
      const inner = innerType(type);
      const next = known.get(inner) ?? [];
      if (name === "(embeds)") {
        add(next, prefix, within);
        continue;
      }
      const path = prefix + name.replaceAll("[]", "");
      paths.add(path);
      if (within.includes(inner)) continue; // a type within itself
      add(next, `${path}.${type.startsWith("map<") ? "*." : ""}`, [...within, inner]);
    }
  };
  add(fields, "", []);
  return [...paths];
}

export function commands(): CommandFact[] {
  const rows = readCopy("cli");
  const flagsByPath = new Map(rows.map((row) => [row[1], row[5] ?? ""]));
  return rows.map(([group = "", path = "", kind = "", aliases = "", swarm, flags = ""]) => ({
    path,
    group,
    isGroup: kind === "group",
    swarm: swarm === "swarm",
    aliases: aliases.split(",").filter((alias) => alias !== ""),
    flags: flags.startsWith("= ") ? (flagsByPath.get(flags.slice(2)) ?? "") : flags,
  }));
}

function innerType(type: string): string {
  return type.replace(/^map</, "").replace(/>$/, "").replaceAll(/[[\]]/g, "");
}

function cellsOf(text: string): string[][] {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => line.split("\t"));
}
