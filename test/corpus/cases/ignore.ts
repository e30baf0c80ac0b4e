// What .dockerignore leaves out of a context.

import { type Case, lines } from "../case.ts";

const FILES = {
  a: "a",
  "b.md": "b",
  "README.md": "r",
  "d/one": "1",
  "d/x.md": "x",
  "d/sub/y.md": "y",
  "d/sub/keep": "k",
  "e/f/g": "g",
};
const of = (name: string, ...rules: string[]): Case => ({
  name: `ignore-${name}`,
  files: { ...FILES, ".dockerignore": lines(...rules) },
  dockerfile: lines("FROM base", "COPY . /all/"),
});

export const ignore: Case[] = [
  of("file", "a", "d/one"),
  of("folder", "d", "Dockerfile", ".dockerignore"),
  of("star", "*.md", "d/*"),
  of("double-star", "**/*.md"),
  of("double-star-middle", "d/**/y.md", "e/**"),
  of("negation", "*.md", "!README.md"),
  of("negation-in-folder", "d", "!d/sub/keep"),
  of("negation-order", "!README.md", "*.md"),
  of("everything-but", "*", "!d/one"),
  of("comments", "# a", "", "  b.md  ", "#d"),
  of("slashes", "/a", "d/sub/", "./b.md", "e//f"),
  of("question", "?", "d/???"),
  of("class", "[ab]*", "d/[^o]*"),
  of("dotdot", "d/../a", "../b.md"),
  of("negation-blank", "*.md", "! README.md"),
  {
    ...of("copied-file-ignored", "a"),
    dockerfile: lines("FROM base", "COPY a /x"),
    fails: true,
  },
  {
    name: "ignore-glob-result",
    files: { ...FILES, ".dockerignore": "*.md\n" },
    dockerfile: lines("FROM base", "COPY * /x/"),
  },
];
