// An image's configuration, its layers with their sizes, and the step that made each of them.

import { type Child, h } from "./dom.ts";
import {
  commandLine,
  instruction,
  type Json,
  layersWithHistory,
  pairs,
  platform,
  record,
  size,
  text,
  time,
} from "./format.ts";
import { bytes, digestOf, noteValue } from "./manifest-view.ts";
import { facts, type Page, row, section, table } from "./view.ts";

const ROWS_MAX = 1_000;
const CONFIG_BYTES_MAX = 4 * 1024 * 1024;

export async function imageSections({ api }: Page, name: string, manifest: Json): Promise<Child> {
  const descriptor = record(manifest["config"]);
  let config: Json = {};
  let problem = "";
  if (Number(descriptor["size"]) > CONFIG_BYTES_MAX) problem = "The configuration is too large.";
  else {
    config = await api.json(name, text(descriptor["digest"])).catch((error: unknown) => {
      problem = `No configuration: ${error instanceof Error ? error.message : error}`;
      return {};
    });
  }
  const labels = pairs(record(config["config"])["Labels"]);
  return [
    problem !== "" && h("p", { class: "notice" }, problem),
    section("Image", configFacts(config)),
    section("Layers", layersTable(manifest["layers"], config["history"])),
    labels.length > 0 &&
      section("Labels", facts(labels.map(([key, value]) => [key, noteValue(key, value)]))),
  ];
}

function configFacts(config: Json): Node {
  const run = record(config["config"]);
  const lines = (value: unknown): Child =>
    Array.isArray(value)
      ? value.slice(0, ROWS_MAX).map((line) => h("div", {}, h("code", {}, text(line))))
      : "";
  return facts([
    ["Platform", platform(config)],
    ["Created", time(config["created"])],
    ["Author", text(config["author"])],
    ["Entrypoint", code(commandLine(run["Entrypoint"]))],
    ["Command", code(commandLine(run["Cmd"]))],
    ["User", text(run["User"])],
    ["Working directory", code(text(run["WorkingDir"]))],
    ["Ports", Object.keys(record(run["ExposedPorts"])).join(", ")],
    ["Volumes", Object.keys(record(run["Volumes"])).join(", ")],
    ["Stop signal", text(run["StopSignal"])],
    ["Environment", lines(run["Env"])],
  ]);
}

function code(value: string): Child {
  return value === "" ? "" : h("code", {}, value);
}

function layersTable(layers: unknown, history: unknown): Node {
  const rows = layersWithHistory(layers, history);
  const sizes = rows.map(({ layer }) => Math.max(0, Number(layer?.["size"]) || 0));
  const largest = Math.max(1, ...sizes.slice(0, ROWS_MAX));
  const made = rows.slice(0, ROWS_MAX).map(({ layer, history: step }, index) => {
    const bar = h("meter", { value: String(sizes[index]! / largest) });
    const by = instruction(step?.["created_by"]) || text(step?.["comment"]);
    const written = h("code", { class: "step" }, by);
    const when = h("div", { class: "quiet" }, time(step?.["created"]));
    return row(
      String(index + 1),
      [written, when],
      layer === undefined ? h("span", { class: "quiet" }, "no layer") : bytes(layer["size"]),
      layer !== undefined && bar,
      layer === undefined ? "" : [digestOf(layer["digest"]), mediaTypeNote(layer)],
    );
  });
  const total = sizes.reduce((sum, each) => sum + each, 0);
  const amount = sizes.filter((_, index) => rows[index]!.layer !== undefined).length;
  const sum = `${amount} ${amount === 1 ? "layer" : "layers"}, ${size(total)} compressed`;
  return h(
    "div",
    {},
    h("p", { class: "quiet" }, sum),
    table(["#", "Made by", "Size", "", "Digest"], made),
  );
}

function mediaTypeNote(layer: Json): Node {
  const type = text(layer["mediaType"]).replace(/^application\/vnd\.(oci|docker)\.image\./, "");
  return h("div", { class: "quiet", title: text(layer["mediaType"]) }, type);
}
