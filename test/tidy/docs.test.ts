// What the pages say is true as far as a program can tell: links lead somewhere, files that are
// named exist, command lines are understood by our command table, and configuration files load.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { loadSettings } from "../../src/daemon/load-settings.ts";
import { parseConfig } from "../../src/registry/config.ts";
import { assertUnderstood, namesGroup, wordsOf } from "../support/command-line.ts";
import { paths, type SourceFile, sources } from "./source-files.ts";

const pages = sources.filter(({ path }) => path.endsWith(".md"));
const guides = pages.filter(({ path }) => /^(README\.md|docs\/guide\/)/.test(path));
// Decisions and the change log tell of their day; files of theirs may have gone since.
const living = pages.filter(
  ({ path }) => /^[A-Z]+\.md$|^docs\/(guide|internals|security)\//.test(path) && !isLog(path),
);

function isLog(path: string): boolean {
  return path === "CHANGELOG.md";
}

/** The daemon and the registry have flags of their own; the others name any plugin, any command. */
const NOT_IN_THE_TABLE = /^(daemon|registry|help|compose|[A-Z_]+)/;

type Block = { language: string; text: string; at: string };

/** Fenced blocks, and those that are indented by four spaces and stand behind an empty line. */
function blocks({ path, lines }: SourceFile): Block[] {
  const found: Block[] = [];
  let fence: Block | undefined;
  let indented: Block | undefined;
  lines.forEach((line, index) => {
    const at = `${path}:${index + 1}`;
    if (line.startsWith("```")) {
      if (fence) found.push(fence);
      fence = fence ? undefined : { language: line.slice(3).trim(), text: "", at };
    } else if (fence) {
      fence.text += `${line}\n`;
    } else if (line.startsWith("    ") && (indented || lines[index - 1] === "")) {
      if (!indented) found.push((indented = { language: "", text: "", at }));
      indented.text += `${line.slice(4)}\n`;
    } else {
      indented = undefined;
    }
  });
  return found;
}

/** GitHub's name of a heading: what `#…` of a link means. */
function anchor(heading: string): string {
  const words = heading.replace(/^#+\s*/, "").toLowerCase();
  return words.replace(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(" ", "-");
}

test("every link between pages leads to a file, and to a heading of it", () => {
  const known = new Set(paths.flatMap((path) => [path, ...foldersOf(path)]));
  const headings = new Map(
    pages.map(({ path, lines }) => [
      path,
      lines.filter((line) => line.startsWith("#")).map(anchor),
    ]),
  );
  const broken: string[] = [];
  for (const { path, text } of pages) {
    const shown = text.replace(/^```[\s\S]*?^```/gm, "");
    for (const [, link] of shown.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [file = "", heading] = link!.split("#");
      const target = file === "" ? path : normalize(join(dirname(path), file)).replace(/\/$/, "");
      const leads = known.has(target) && (!heading || headings.get(target)?.includes(heading));
      if (!leads) broken.push(`${path}: ${link}`);
    }
  }
  assert.deepEqual(broken, []);
});

test("every file of ours that a page names exists", () => {
  const missing: string[] = [];
  const endings = new Set(paths.flatMap((path) => tailsOf(path)));
  for (const { path, lines } of living) {
    lines.forEach((line, index) => {
      for (const [, span] of line.matchAll(/`([\w.@/-]+\/[\w.-]+\.(?:ts|c|h|tsv|sh))`/g)) {
        if (!endings.has(span!)) missing.push(`${path}:${index + 1}: ${span}`);
      }
    });
  }
  assert.deepEqual(missing, []);
});

test("every page of the guide and of the internals stands in the index of docs", () => {
  const index = pages.find(({ path }) => path === "docs/README.md");
  const lacking = pages.filter(
    ({ path }) =>
      /^docs\/(guide|internals)\//.test(path) &&
      !index?.text.includes(`](${path.slice("docs/".length)})`),
  );
  assert.deepEqual(
    lacking.map(({ path }) => path),
    [],
  );
});

test("every command of the guide is understood", async () => {
  let count = 0;
  for (const page of guides) {
    const shown = blocks(page)
      .filter(({ language }) => ["", "sh", "console"].includes(language))
      .flatMap(({ text, at }) => commandLines(text).map((line) => ({ line, at, short: false })));
    const named = [...page.text.matchAll(/`(gantry [a-z-][^`]*)`/g)].map(([, span]) => ({
      line: span!.replaceAll("\n", " "),
      at: page.path,
      short: true,
    }));
    for (const { line, at, short } of [...shown, ...named]) {
      const cut = short || line.includes("…");
      const words = wordsOf(line.replaceAll("…", " "));
      if (words.length === 0 || NOT_IN_THE_TABLE.test(words[0]!)) continue;
      if (short && namesGroup(words)) continue;
      await assertUnderstood(`${at}: ${line}`, words, { cut });
      count++;
    }
  }
  assert.ok(count > 100, `${count} commands were found`);
});

test("every daemon.json of the guide is taken by the daemon", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-docs-"));
  try {
    const file = join(folder, "daemon.json");
    const written = guides.flatMap(blocks).flatMap(({ text, at }) => {
      const json = text.replace(/\s+# .*$/gm, "");
      return json.startsWith("{") ? [{ json: json.split(/\n(?!\s|[}\]])/)[0]!, at }] : [];
    });
    for (const { json, at } of written) {
      writeFileSync(file, json);
      const about = { version: "0", buildId: "docs" };
      await assert.doesNotReject(loadSettings(["--config-file", file], about), at);
    }
    assert.ok(written.length > 5, `${written.length} files were found`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the registry's configurations of the guide are taken by it", () => {
  const written = guides
    .filter(({ path }) => basename(path).startsWith("registry"))
    .flatMap(blocks)
    .filter(({ text }) => /^(addr|access):/.test(text));
  for (const { text, at } of written) {
    const whole = /^root:/m.test(text) ? text : `root: /srv/images\n${text}`;
    assert.doesNotThrow(() => parseConfig("/etc/registry/config.yml", whole), at);
  }
  assert.ok(written.length > 3, `${written.length} files were found`);
});

/** Lines that a shell would run: continued ones joined, comments and prompts taken away. */
function commandLines(text: string): string[] {
  return text
    .replace(/\\\n\s*/g, "")
    .split("\n")
    .map((line) => line.replace(/\s+# .*$/, "").replace(/^(\$ )?(\.\/bin\/)?/, ""))
    .filter((line) => /^gantry |[(|] ?gantry /.test(line));
}

function foldersOf(path: string): string[] {
  const folder = dirname(path);
  return folder === "." ? [] : [folder, ...foldersOf(folder)];
}

/** A path, and every end of it that begins with a folder's or the file's name. */
function tailsOf(path: string): string[] {
  const slash = path.indexOf("/");
  return slash < 0 ? [path] : [path, ...tailsOf(path.slice(slash + 1))];
}
