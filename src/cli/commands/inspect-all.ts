// `inspect` of any kind of object: JSON as the daemon sent it, indented, or a template for each.

import { GantryError, kindOf, messageOf } from "../../base/index.ts";
import type { Client } from "../../client/index.ts";
import { objectFormat } from "../format/object.ts";
import { STRUCTS } from "../format/structs.ts";
import type { Session } from "../session.ts";
import { goJson, parseJson } from "../template/values.ts";
import { segment } from "./each.ts";

export type InspectKind = "container" | "image" | "network" | "plugin" | "volume";
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
          platform: kind === "image" ? platform || undefined : undefined,
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

function indented(found: readonly Found[]): string {
  if (found.length === 0) return "[]\n";
  const parts = found.map(({ text }) =>
    goJson(parseJson(text), { indent: "    " })
      .split("\n")
      .map((line) => `    ${line}`)
      .join("\n"),
  );
  return `[\n${parts.join(",\n")}\n]\n`;
}
