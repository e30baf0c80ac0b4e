// Stages: names, numbers, targets, what is built, and triggers.

import { type Case, lines } from "../case.ts";

export const stages: Case[] = [
  {
    name: "stage-chain",
    dockerfile: lines(
      "FROM base AS a",
      "ENV A=1",
      "RUN x",
      "FROM a AS b",
      "ENV B=2",
      "FROM b",
      "RUN y",
    ),
  },
  {
    name: "stage-target",
    target: "first",
    dockerfile: lines("FROM base AS first", "LABEL a=1", "FROM first", "LABEL b=1"),
  },
  {
    name: "stage-target-number",
    target: "0",
    dockerfile: lines("FROM base", "LABEL a=1", "FROM base", "LABEL b=1"),
  },
  {
    name: "stage-target-case",
    target: "FIRST",
    dockerfile: lines("FROM base AS First", "LABEL a=1", "FROM base"),
  },
  {
    name: "stage-target-unknown",
    target: "frist",
    fails: true,
    dockerfile: lines("FROM base AS first", "FROM base"),
  },
  {
    name: "stage-unneeded",
    dockerfile: lines("FROM base AS no", 'RUN ["/bin/false"]', "FROM base", "LABEL x=1"),
  },
  {
    name: "stage-same-name",
    dockerfile: lines(
      "FROM base AS a",
      "LABEL v=1",
      "FROM base AS a",
      "LABEL v=2",
      "FROM a",
      "LABEL w=1",
    ),
  },
  {
    name: "stage-name-of-image",
    dockerfile: lines("FROM base AS base", "LABEL v=1", "FROM base", "LABEL w=1"),
  },
  {
    name: "stage-name-dots",
    dockerfile: lines("FROM base AS a.b-c_d", "LABEL v=1", "FROM a.b-c_d", "LABEL w=1"),
  },
  { name: "stage-name-invalid", fails: true, dockerfile: lines("FROM base AS 1a") },
  {
    name: "stage-name-reserved",
    dockerfile: lines("FROM base AS scratch", "LABEL v=1", "FROM scratch", "COPY Dockerfile /f"),
  },
  { name: "stage-name-context", dockerfile: lines("FROM base AS context", "LABEL v=1") },
  { name: "stage-as-missing", fails: true, dockerfile: lines("FROM base AS") },
  { name: "stage-four-words", fails: true, dockerfile: lines("FROM base AS a b") },
  { name: "stage-from-nothing", fails: true, dockerfile: lines("FROM") },
  { name: "stage-from-tag", dockerfile: lines("FROM base:latest", "LABEL v=1") },
  { name: "stage-from-docker-io", dockerfile: lines("FROM docker.io/library/base", "LABEL v=1") },
  { name: "stage-from-invalid", fails: true, dockerfile: lines("FROM Base!") },
  { name: "stage-from-upper", fails: true, dockerfile: lines("FROM BASE") },
  {
    name: "stage-scratch",
    dockerfile: lines("FROM scratch", "COPY Dockerfile /", "ENV A=1", "LABEL l=1"),
  },
  { name: "stage-scratch-empty", check: "only", dockerfile: lines("FROM scratch", "LABEL a=1") },
  { name: "stage-scratch-workdir", dockerfile: lines("FROM scratch", "WORKDIR /w") },
  {
    name: "stage-scratch-run",
    dockerfile: lines(
      "FROM scratch",
      "COPY --from=base /bin/write /bin/write",
      'RUN ["/bin/write", "/f", "x"]',
    ),
  },
  {
    name: "stage-cycle",
    fails: true,
    dockerfile: lines(
      "FROM base AS a",
      "COPY --from=b /x /x",
      "FROM base AS b",
      "COPY --from=a /x /x",
    ),
  },
  {
    name: "stage-mount-later",
    dockerfile: lines("FROM base AS a", "RUN --mount=from=b,target=/m x", "FROM base AS b"),
  },
  {
    name: "stage-diamond",
    dockerfile: lines(
      "FROM base AS a",
      'RUN ["/bin/write", "/a", "a"]',
      "FROM a AS b",
      'RUN ["/bin/write", "/b", "b"]',
      "FROM a AS c",
      'RUN ["/bin/write", "/c", "c"]',
      "FROM scratch",
      "COPY --from=b /a /b /",
      "COPY --from=c /c /",
    ),
  },
  { name: "stage-platform", dockerfile: lines("FROM --platform=linux/amd64 base", "LABEL v=1") },
  {
    name: "stage-platform-invalid",
    fails: true,
    dockerfile: lines("FROM --platform=a/b/c/d base"),
  },
  {
    name: "stage-flag-unknown",
    fails: true,
    dockerfile: lines("FROM --plattform=linux/amd64 base"),
  },

  {
    name: "onbuild-base",
    files: { f: "f" },
    dockerfile: lines(
      "FROM base",
      "ONBUILD COPY f /f",
      "ONBUILD RUN x",
      "ONBUILD ENV A=1",
      "ONBUILD WORKDIR /w",
      'ONBUILD RUN ["/bin/cat", "/f"]',
    ),
  },
  {
    name: "onbuild-used",
    after: "onbuild-base",
    files: { f: "other" },
    dockerfile: lines("FROM onbuild-base", "RUN own", "COPY f g"),
  },
  {
    name: "onbuild-used-twice",
    after: "onbuild-used",
    files: { f: "again" },
    dockerfile: lines("FROM onbuild-used", "LABEL x=1"),
  },
  {
    name: "onbuild-heredoc-base",
    dockerfile: lines(
      "FROM base",
      "ONBUILD COPY <<EOF /f",
      "body $V",
      "EOF",
      "ONBUILD RUN <<EOF",
      "one",
      "two",
      "EOF",
    ),
  },
  {
    name: "onbuild-heredoc-used",
    after: "onbuild-heredoc-base",
    dockerfile: lines("FROM onbuild-heredoc-base"),
  },
  {
    name: "onbuild-stage",
    files: { f: "f" },
    dockerfile: lines("FROM base AS a", "ONBUILD RUN x", "FROM a", "RUN y"),
  },
  {
    name: "onbuild-arg-base",
    dockerfile: lines("FROM base", "ONBUILD ARG V=d", "ONBUILD LABEL v=$V"),
  },
  {
    name: "onbuild-arg-used",
    after: "onbuild-arg-base",
    buildArgs: { V: "given" },
    dockerfile: lines("FROM onbuild-arg-base"),
  },
  {
    name: "onbuild-from-base",
    dockerfile: lines("FROM base", "ONBUILD COPY --from=tools /full /t"),
  },
  {
    name: "onbuild-from-used",
    after: "onbuild-from-base",
    dockerfile: lines(
      "FROM base AS tools",
      'RUN ["/bin/write", "/full/new", "n"]',
      "FROM onbuild-from-base",
    ),
  },
  {
    name: "onbuild-all",
    dockerfile: lines(
      "FROM base",
      "ONBUILD ADD a b",
      "ONBUILD CMD x",
      'ONBUILD ENTRYPOINT ["e"]',
      "ONBUILD EXPOSE 1",
      "ONBUILD HEALTHCHECK NONE",
      "ONBUILD LABEL a=b",
      'ONBUILD SHELL ["s"]',
      "ONBUILD STOPSIGNAL 9",
      "ONBUILD USER u",
      "ONBUILD VOLUME /v",
      "  onbuild   env  A=1   B=2  ",
    ),
  },
  { name: "onbuild-chained", fails: true, dockerfile: lines("FROM base", "ONBUILD ONBUILD RUN x") },
  { name: "onbuild-onbuild-from", fails: true, dockerfile: lines("FROM base", "ONBUILD FROM x") },
  {
    name: "onbuild-maintainer",
    fails: true,
    dockerfile: lines("FROM base", "ONBUILD MAINTAINER x"),
  },
  { name: "onbuild-none", fails: true, dockerfile: lines("FROM base", "ONBUILD") },
  { name: "onbuild-unknown", fails: true, dockerfile: lines("FROM base", "ONBUILD NOPE x") },
  { name: "onbuild-continued", dockerfile: lines("FROM base", "ONBUILD RUN a \\", "  b") },
];
