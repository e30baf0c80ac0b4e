// One manifest: an index by platform, an image with its configuration, layers and history, or an
// artifact with its files; what refers to it; how to pull it; and the raw JSON.

import { askConfirmation } from "./dialogs.ts";
import { type Child, copyButton, h, say } from "./dom.ts";
import { contentSize, kindOf, list, pairs, platform, record, size, text, time } from "./format.ts";
import { imageSections } from "./image-view.ts";
import type { ManifestAnswer } from "./registry-api.ts";
import { deletable, deleteButton } from "./repository-view.ts";
import {
  digestText,
  facts,
  manifestAddress,
  type Page,
  repositoryAddress,
  row,
  section,
  table,
} from "./view.ts";

const ROWS_MAX = 1_000;

export async function showManifest(page: Page, name: string, reference: string): Promise<Node> {
  const { api } = page;
  const answer = await api.manifest(name, reference);
  const [referrers, mayDelete, content] = await Promise.all([
    api.referrers(name, answer.digest).catch(() => []),
    deletable(page, name),
    contentOf(page, name, answer),
  ]);
  const tag = reference.includes(":") ? undefined : reference;
  const title = tag === undefined ? name : `${name}:${tag}`;
  return h(
    "article",
    {},
    crumbs(name),
    h("h1", {}, title),
    summary(answer, name),
    commands(name, tag, answer.digest),
    content,
    annotations(answer.manifest["annotations"]),
    referrers.length > 0 && section("Referrers", referrersTable(name, referrers)),
    raw(answer),
    mayDelete && deletion(page, name, tag, answer.digest),
  );
}

function crumbs(name: string): Node {
  const all = h("a", { href: "#/" }, "Repositories");
  return h("p", { class: "crumbs" }, all, " / ", h("a", { href: repositoryAddress(name) }, name));
}

function summary({ digest, mediaType, manifest }: ManifestAnswer, name: string): Node {
  const subject = text(record(manifest["subject"])["digest"]);
  return facts([
    ["Digest", digestText(digest, manifestAddress(name, digest))],
    ["Media type", mediaType],
    ["Artifact type", text(manifest["artifactType"])],
    ["Refers to", subject === "" ? "" : digestText(subject, manifestAddress(name, subject))],
    ["Size", kindOf(manifest) === "index" ? "" : size(contentSize(manifest))],
  ]);
}

function commands(name: string, tag: string | undefined, digest: string): Node {
  const references = tag === undefined ? [`@${digest}`] : [`:${tag}`, `@${digest}`];
  const lines = references.flatMap((reference) =>
    ["docker", "gantry"].map((program) => `${program} pull ${location.host}/${name}${reference}`),
  );
  const line = (command: string) =>
    h("p", { class: "command" }, h("code", {}, command), copyButton(command, "command"));
  return section("Pull", lines.map(line));
}

async function contentOf(page: Page, name: string, answer: ManifestAnswer): Promise<Child> {
  const { manifest } = answer;
  const kind = kindOf(manifest);
  if (kind === "index") return section("Manifests", indexTable(name, manifest["manifests"]));
  if (kind === "image") return await imageSections(page, name, manifest);
  const files = list(manifest["layers"]).map(record);
  const rows = files.slice(0, ROWS_MAX).map((file) => {
    const title = text(record(file["annotations"])["org.opencontainers.image.title"]);
    return row(title, text(file["mediaType"]), bytes(file["size"]), digestOf(file["digest"]));
  });
  const files_ = rows.length === 0 ? h("p", {}, "No files.") : table(FILE_HEADINGS, rows);
  return section("Files", files_);
}

const FILE_HEADINGS = ["Name", "Media type", "Size", "Digest"];

export function bytes(value: unknown): string {
  return typeof value === "number" ? size(Math.max(0, value)) : "";
}

export function digestOf(value: unknown): Child {
  return text(value) === "" ? "" : digestText(text(value));
}

function indexTable(name: string, entries: unknown): Node {
  const rows = list(entries)
    .slice(0, ROWS_MAX)
    .map(record)
    .map((entry) => {
      const digest = text(entry["digest"]);
      const purpose = text(record(entry["annotations"])["vnd.docker.reference.type"]);
      const label = purpose || platform(entry["platform"]) || text(entry["artifactType"]) || "any";
      return row(
        h("a", { href: manifestAddress(name, digest) }, label),
        digestText(digest, manifestAddress(name, digest)),
        text(entry["mediaType"]),
        bytes(entry["size"]),
      );
    });
  return table(["Platform", "Digest", "Media type", "Size"], rows);
}

function referrersTable(name: string, referrers: readonly Record<string, unknown>[]): Node {
  const rows = referrers.slice(0, ROWS_MAX).map((entry) => {
    const digest = text(entry["digest"]);
    const notes = pairs(entry["annotations"]).map(([key, value]) =>
      h("div", {}, h("span", { class: "quiet" }, `${key}: `), noteValue(key, value)),
    );
    const type = text(entry["artifactType"]) || text(entry["mediaType"]);
    const link = h("a", { href: manifestAddress(name, digest) }, type);
    return row(link, digestText(digest), bytes(entry["size"]), notes);
  });
  return table(["Artifact type", "Digest", "Size", "Annotations"], rows);
}

function annotations(value: unknown): Child {
  const entries = pairs(value);
  if (entries.length === 0) return undefined;
  const shown = entries.map(([key, item]): [string, Child] => [key, noteValue(key, item)]);
  return section("Annotations", facts(shown));
}

/** Times are made readable, addresses of the web are links; everything else is text. */
export function noteValue(key: string, value: string): Child {
  if (key.endsWith(".created")) return time(value);
  return /^https?:\/\/\S+$/.test(value) ? h("a", { href: value }, value) : value;
}

function raw({ raw: json }: ManifestAnswer): Node {
  let shown = json;
  try {
    shown = JSON.stringify(JSON.parse(json), undefined, 2);
  } catch {
    // As it came.
  }
  const copy = copyButton(json, "manifest");
  return h("details", {}, h("summary", {}, "Manifest as JSON"), copy, h("pre", {}, shown));
}

function deletion(page: Page, name: string, tag: string | undefined, digest: string): Node {
  const back = () => void (location.hash = repositoryAddress(name));
  const ask = async () => {
    const question = "Every tag that points to this manifest goes with it.";
    const word = digest.slice(-6);
    if (!(await askConfirmation("Delete this manifest?", question, "Delete", word))) return;
    try {
      await page.api.remove(name, digest);
      say("Deleted the manifest");
      back();
    } catch (error) {
      say(`Not deleted: ${error instanceof Error ? error.message : error}`);
    }
  };
  const button = { type: "button", class: "danger", onclick: () => void ask() };
  return section(
    "Delete",
    h(
      "div",
      { class: "buttons" },
      tag !== undefined && deleteButton(page, name, tag, back, "Delete tag"),
      h("button", button, "Delete manifest"),
    ),
  );
}
