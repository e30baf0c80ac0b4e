// `inspect` of any kind of object: JSON as the daemon sent it, indented, or a template for each.

import { GantryError, kindOf, messageOf } from "../../base/index.ts";
import type { Client } from "../../client/index.ts";
import { goJson, parseJson } from "../../template/index.ts";
import { objectFormat } from "../format/object.ts";
import { STRUCTS } from "../format/structs.ts";
import type { Session } from "../session.ts";
import { segment } from "./each.ts";
import { platformJson } from "./image/load.ts";

export type InspectKind =
  | ("container" | "image" | "network" | "plugin" | "volume")
  // What only a swarm has: the daemon says that there is none.
  | ("config" | "node" | "secret" | "service" | "task");
interface InspectOptions {
  size?: boolean;
  platform?: string;
  verbose?: boolean;
}

const PATHS: Record<InspectKind, (name: string) => string> = {
  container: (name) => `/containers/${segment(name)}/json`,
  image: (name) => `/images/${name.split("/").map(segment).join("/")}/json`,
  network: (name) => `/networks/${segment(name)}`,
  plugin: (name) => `/plugins/${segment(name)}/json`,
  volume: (name) => `/volumes/${segment(name)}`,
  config: (name) => `/configs/${segment(name)}`,
  node: (name) => `/nodes/${segment(name)}`,
  secret: (name) => `/secrets/${segment(name)}`,
  service: (name) => `/services/${segment(name)}`,
  task: (name) => `/tasks/${segment(name)}`,
};

interface Found {
  kind: InspectKind;
  text: string;
}

/** Shows every object that is there; what is missing makes the exit code 1. */
export async function inspectAll(
  session: Session,
  names: readonly string[],
  format: string,
  kinds: readonly InspectKind[],
  options: InspectOptions = {},
): Promise<number> {
  const template =
    format === "" ? undefined : await objectFormat(format, { missingKey: "error", prefix: "" });
  const client = await session.client();
  const found: Found[] = [];
  const failures: string[] = [];
  for (const name of names) {
    try {
      found.push(await inspectOne(client, name, kinds, options));
    } catch (error) {
      failures.push(messageOf(error));
    }
  }
  let out = "";
  if (template) {
    try {
      for (const { kind, text } of found) out += `${render(template, kind, text)}\n`;
    } catch (error) {
      session.io.stdout.write(out);
      throw error;
    }
  } else out = indented(found);
  session.io.stdout.write(out);
  for (const failure of failures) session.warn(failure);
  return failures.length === 0 ? 0 : 1;
}

async function inspectOne(
  client: Client,
  name: string,
  kinds: readonly InspectKind[],
  { size, platform, verbose }: InspectOptions,
): Promise<Found> {
  for (const kind of kinds) {
    try {
      const text = await client.text("GET", PATHS[kind](name), {
        query: {
          size: kind === "container" && size ? true : undefined,
          platform: kind === "image" && platform ? platformJson(platform) : undefined,
          verbose: kind === "network" && verbose ? true : undefined,
        },
      });
      return { kind, text };
    } catch (error) {
      const last = kinds.length === 1;
      const elsewhere = kindOf(error) === "not-found" || /not supported/.test(messageOf(error));
      if (last || !elsewhere) throw error;
    }
  }
  throw new GantryError("not-found", `Error: No such object: ${name}`);
}

/** First as docker's structs, whose missing fields are empty; then as the JSON that came. */
function render(template: (data: unknown) => string, kind: InspectKind, text: string): string {
  const data = parseJson(text);
  const view = kind === "container" || kind === "image" ? STRUCTS[kind] : undefined;
  if (view) {
    try {
      return template(view(data));
    } catch {
      // The failure below is the one that docker reports.
    }
  }
  try {
    return template(data);
  } catch (error) {
    throw new GantryError("invalid", `template parsing error: ${messageOf(error)}`, {
      cause: error,
      detail: { partialOutput: "" },
    });
  }
}

/** Docker's client knows volumes as a structure, whose members stand in the order of the alphabet;
 * everything else it shows as it came. */
function sortedMembers(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function indented(found: readonly Found[]): string {
  if (found.length === 0) return "[]\n";
  const parts = found.map(({ kind, text }) =>
    goJson(kind === "volume" ? sortedMembers(parseJson(text)) : parseJson(text), {
      indent: "    ",
    })
      .split("\n")
      .map((line) => `    ${line}`)
      .join("\n"),
  );
  return `[\n${parts.join(",\n")}\n]\n`;
}
