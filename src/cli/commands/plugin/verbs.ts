// The verbs of `plugin`, each the request that docker's command line makes.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { GantryError, messageOf } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { encodeFilters, filterFlag } from "../../flags/filters.ts";
import { printRows, type RowType } from "../../format/table.ts";
import { FORMAT_OBJECT_USAGE, FORMAT_USAGE } from "../../format/usage.ts";
import { callerPath } from "../../io.ts";
import { forEach, segment } from "../each.ts";
import { inspectAll } from "../inspect-all.ts";

interface PluginAnswer {
  Id: string;
  Name: string;
  Enabled: boolean;
  Config?: { Description?: string };
  PluginReference?: string;
}

const TABLE = "table {{.ID}}\\t{{.Name}}\\t{{.Description}}\\t{{.Enabled}}";
const SHORT_ID_CHARS = 12;
const path = (name: string, verb = ""): string => `/plugins/${segment(name)}${verb}`;

export const ls: Command = defineCommand({
  usage: "[OPTIONS]",
  short: "List plugins",
  spellings: ["plugin ls", "plugin list"],
  args: { min: 0, max: 0 },
  flags: {
    filter: filterFlag("Show only what matches NAME=VALUE (enabled=true)", "f"),
    format: { type: "string", usage: FORMAT_USAGE },
    "no-trunc": { type: "bool", usage: "Show whole ids" },
    quiet: { type: "bool", shorthand: "q", usage: "Print ids only" },
  },
  async run(session, { values }) {
    const client = await session.client();
    const filters = encodeFilters(values.filter);
    const rows = await client.json<PluginAnswer[]>("GET", "/plugins", { query: { filters } });
    let format = values.format || session.config.pluginsFormat || "table";
    if (format === "table") format = values.quiet ? "{{.ID}}" : TABLE;
    await printRows(session.io.stdout, pluginRow(values["no-trunc"]), rows, format);
    return 0;
  },
});

function pluginRow(noTrunc: boolean): RowType<PluginAnswer> {
  const column = (header: string, value: (row: PluginAnswer) => unknown) => ({ header, value });
  return {
    goType: "*plugin.pluginContext",
    columns: {
      ID: column("ID", ({ Id }) => (noTrunc ? Id : Id.slice(0, SHORT_ID_CHARS))),
      Name: column("NAME", ({ Name }) => Name),
      Description: column("DESCRIPTION", ({ Config }) => Config?.Description ?? ""),
      Enabled: column("ENABLED", ({ Enabled }) => Enabled),
      PluginReference: column("PLUGIN REFERENCE", ({ PluginReference }) => PluginReference ?? ""),
    },
  };
}

export const inspect: Command = defineCommand({
  usage: "[OPTIONS] PLUGIN [PLUGIN...]",
  short: "Show details of plugins",
  args: { min: 1 },
  flags: { format: { type: "string", shorthand: "f", usage: FORMAT_OBJECT_USAGE } },
  run: (session, { values, args }) => inspectAll(session, args, values.format, ["plugin"]),
});

export const rm: Command = defineCommand({
  usage: "[OPTIONS] PLUGIN [PLUGIN...]",
  short: "Remove plugins",
  spellings: ["plugin rm", "plugin remove"],
  args: { min: 1 },
  flags: { force: { type: "bool", shorthand: "f", usage: "Remove an active plugin too" } },
  async run(session, { values, args }) {
    const client = await session.client();
    const query = { force: values.force || undefined };
    return await forEach(session, args, async (name) => {
      await client.empty("DELETE", path(name), { query });
      return name;
    });
  },
});

export const enable: Command = defineCommand({
  usage: "[OPTIONS] PLUGIN",
  short: "Enable a plugin",
  args: { min: 1, max: 1 },
  flags: { timeout: { type: "int", default: 30, usage: "Seconds to wait for the plugin" } },
  async run(session, { values, args }) {
    if (values.timeout < 0) {
      throw new GantryError("invalid", `negative timeout ${values.timeout} is invalid`);
    }
    const query = { timeout: values.timeout };
    await (await session.client()).empty("POST", path(args[0]!, "/enable"), { query });
    session.print(args[0]!);
    return 0;
  },
});

export const disable: Command = defineCommand({
  usage: "[OPTIONS] PLUGIN",
  short: "Disable a plugin",
  args: { min: 1, max: 1 },
  flags: { force: { type: "bool", shorthand: "f", usage: "Disable an active plugin too" } },
  async run(session, { values, args }) {
    const query = { force: values.force || undefined };
    await (await session.client()).empty("POST", path(args[0]!, "/disable"), { query });
    session.print(args[0]!);
    return 0;
  },
});

export const set: Command = defineCommand({
  usage: "PLUGIN KEY=VALUE [KEY=VALUE...]",
  short: "Change settings of a plugin",
  args: { min: 2 },
  flags: {},
  async run(session, { args: [name = "", ...json] }) {
    await (await session.client()).empty("POST", path(name, "/set"), { json });
    return 0;
  },
});

export const push: Command = defineCommand({
  usage: "[OPTIONS] PLUGIN[:TAG]",
  short: "Upload a plugin to a registry",
  args: { min: 1, max: 1 },
  flags: {},
  async run(session, { args }) {
    // A name without a tag means the latest, as docker's command line spells it out.
    const name = /:[^/]*$/.test(args[0]!) ? args[0]! : `${args[0]}:latest`;
    await (await session.client()).empty("POST", path(name, "/push"));
    return 0;
  },
});

export const upgrade: Command = defineCommand({
  usage: "[OPTIONS] PLUGIN [REMOTE]",
  short: "Upgrade a plugin",
  args: { min: 1, max: 2 },
  flags: {
    "grant-all-permissions": { type: "bool", usage: "Grant what the plugin asks for" },
    "skip-remote-check": { type: "bool", usage: "Take another remote than the plugin came from" },
  },
  async run(session, { values, args }) {
    const client = await session.client();
    const known = await client.json<PluginAnswer>("GET", path(args[0]!, "/json")).catch((cause) => {
      const message = `error reading plugin data: ${messageOf(cause)}`;
      throw new GantryError("not-found", message, { cause });
    });
    const remote = args[1] ?? known.PluginReference ?? known.Name;
    refuseGrant(values["grant-all-permissions"] || values["skip-remote-check"], remote);
    await client.empty("POST", path(args[0]!, "/upgrade"), { query: { remote }, json: [] });
    return 0;
  },
});

export const install: Command = defineCommand({
  usage: "[OPTIONS] PLUGIN [KEY=VALUE...]",
  short: "Install a plugin",
  args: { min: 1 },
  flags: {
    alias: { type: "string", usage: "Local name of the plugin" },
    disable: { type: "bool", usage: "Do not enable the plugin" },
    "grant-all-permissions": { type: "bool", usage: "Grant what the plugin asks for" },
  },
  async run(session, { values, args }) {
    const remote = args[0]!;
    const client = await session.client();
    await client.json("GET", "/plugins/privileges", { query: { remote } });
    const asked = values["grant-all-permissions"] || values.disable || values.alias !== "";
    refuseGrant(asked, remote);
    await client.empty("POST", "/plugins/pull", { query: { remote }, json: [] });
    return 0;
  },
});

/** Only a daemon that has managed plugins comes here: privileges are not ours to grant. */
function refuseGrant(asked: boolean, remote: string): void {
  if (!asked) return;
  const message = `gantry grants no permissions to ${remote}: use docker's own command line`;
  throw new GantryError("not-implemented", message);
}

export const create: Command = defineCommand({
  usage: "[OPTIONS] PLUGIN PLUGIN-DATA-DIR",
  short: "Make a plugin of a folder",
  args: { min: 2, max: 2 },
  flags: { compress: { type: "bool", usage: "Compress what is sent" } },
  async run(session, { values, args: [name = "", folder = ""] }) {
    const file = join(folder, "config.json");
    await readFile(callerPath(session.io, file)).catch((cause) => {
      throw new GantryError("invalid", `open ${file}: no such file or directory`, { cause });
    });
    const client = await session.client();
    const headers = { "Content-Encoding": values.compress ? "gzip" : "identity" };
    await client.empty("POST", "/plugins/create", { query: { name }, headers });
    return 0;
  },
});
