// ARG: scopes, defaults, what wins, and the arguments that are there without a declaration.

import { type Case, lines } from "../case.ts";

export const args: Case[] = [
  { name: "arg-global", dockerfile: lines("ARG V=1", "FROM base", "ARG V", "LABEL v=$V", "RUN x") },
  { name: "arg-global-hidden", dockerfile: lines("ARG V=1", "FROM base", "LABEL v=[$V]", "RUN x") },
  {
    name: "arg-global-overridden",
    buildArgs: { V: "given" },
    dockerfile: lines("ARG V=1", "FROM base", "ARG V", "LABEL v=$V"),
  },
  {
    name: "arg-global-default-in-stage",
    dockerfile: lines("ARG V=1", "FROM base", "ARG V=2", "LABEL v=$V"),
  },
  {
    name: "arg-global-chain",
    dockerfile: lines("ARG A=1", "ARG B=${A}2 C=$A", "FROM base", "ARG B C", "LABEL v=$B-$C"),
  },
  {
    name: "arg-given",
    buildArgs: { V: "g w" },
    dockerfile: lines("FROM base", "ARG V=d", "LABEL v=$V", "RUN x"),
  },
  { name: "arg-without-default", dockerfile: lines("FROM base", "ARG V", "LABEL v=[$V]", "RUN x") },
  {
    name: "arg-empty-given",
    buildArgs: { V: "" },
    dockerfile: lines("FROM base", "ARG V=d", "LABEL v=[$V]", "RUN x"),
  },
  {
    name: "arg-several",
    buildArgs: { B: "g" },
    dockerfile: lines("FROM base", "ARG A=1 B=2 C", "LABEL v=$A$B$C", "RUN x"),
  },
  {
    name: "arg-quoted",
    dockerfile: lines("FROM base", "ARG A=\"a b\" B='c $A' C=d\\ e", "LABEL a=$A b=$B c=$C"),
  },
  {
    name: "arg-env-wins",
    buildArgs: { V: "arg" },
    dockerfile: lines("FROM base", "ARG V=d", "ENV V=env", "LABEL v=$V", "RUN x"),
  },
  {
    name: "arg-env-from-arg",
    buildArgs: { V: "g" },
    dockerfile: lines("FROM base", "ARG V", "ENV V=${V:-d}", "RUN x"),
  },
  { name: "arg-not-in-env", dockerfile: lines("FROM base", "ARG V=1", "ENV W=$V") },
  {
    name: "arg-scope-stage",
    dockerfile: lines("FROM base AS a", "ARG V=1", "FROM base", "LABEL v=[$V]"),
  },
  {
    name: "arg-inherited-stage",
    dockerfile: lines("FROM base AS a", "ARG V=1", "FROM a", "LABEL v=[$V]", "RUN x"),
  },
  {
    name: "arg-redeclared",
    dockerfile: lines("FROM base", "ARG V=1", "ARG V=2", "LABEL v=$V", "RUN x"),
  },
  {
    name: "arg-later-default",
    dockerfile: lines("FROM base", "LABEL a=[$V]", "ARG V=1", "LABEL b=$V"),
  },
  { name: "arg-order", dockerfile: lines("FROM base", "ARG A=1 B=$A", "LABEL b=[$B]") },
  { name: "arg-unused", buildArgs: { NOBODY: "1" }, dockerfile: lines("FROM base") },
  {
    name: "arg-proxy",
    buildArgs: { HTTP_PROXY: "http://p:1", no_proxy: "x" },
    dockerfile: lines("FROM base", "RUN x"),
  },
  {
    name: "arg-proxy-declared",
    buildArgs: { HTTP_PROXY: "http://p:1" },
    dockerfile: lines("FROM base", "ARG HTTP_PROXY", "RUN x"),
  },
  {
    name: "arg-proxy-all",
    buildArgs: { http_proxy: "a", https_proxy: "b", FTP_PROXY: "c", ALL_PROXY: "d", NO_PROXY: "e" },
    dockerfile: lines("FROM base", "RUN x"),
  },
  {
    name: "arg-platform",
    dockerfile: lines(
      "FROM base",
      "ARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT",
      "ARG BUILDPLATFORM BUILDOS BUILDARCH BUILDVARIANT",
      "LABEL t=$TARGETPLATFORM-$TARGETOS-$TARGETARCH-$TARGETVARIANT b=$BUILDPLATFORM-$BUILDOS-$BUILDARCH-$BUILDVARIANT",
      "RUN x",
    ),
  },
  { name: "arg-platform-undeclared", dockerfile: lines("FROM base", "LABEL t=[$TARGETARCH]") },
  {
    name: "arg-platform-default",
    dockerfile: lines("FROM base", "ARG TARGETARCH=other", "LABEL t=$TARGETARCH"),
  },
  {
    name: "arg-target-stage",
    dockerfile: lines(
      "FROM base AS one",
      "FROM base AS two",
      "ARG TARGETSTAGE",
      "LABEL t=$TARGETSTAGE",
    ),
  },
  {
    name: "arg-target-stage-default",
    dockerfile: lines("FROM base", "ARG TARGETSTAGE", "LABEL t=$TARGETSTAGE"),
  },
  {
    name: "arg-from-platform",
    dockerfile: lines(
      "FROM --platform=$BUILDPLATFORM base AS a",
      "FROM --platform=$TARGETPLATFORM a",
      "LABEL x=1",
    ),
  },
  { name: "arg-from-undefined", dockerfile: lines("FROM $NOTHING"), fails: true },
  { name: "arg-from-default", dockerfile: lines("FROM ${NOTHING:-base}", "LABEL x=1") },
  { name: "arg-blank-name", dockerfile: lines("FROM base", "ARG =x"), fails: true },
  { name: "arg-none", dockerfile: lines("FROM base", "ARG"), fails: true },
  {
    name: "arg-sandbox-hostname",
    buildArgs: { BUILDKIT_SANDBOX_HOSTNAME: "box" },
    dockerfile: lines("FROM base", 'RUN ["/bin/sh"]'),
  },
  {
    name: "arg-source-date-epoch",
    buildArgs: { SOURCE_DATE_EPOCH: "1000000000" },
    dockerfile: lines("FROM base", "ARG SOURCE_DATE_EPOCH", "LABEL e=$SOURCE_DATE_EPOCH", "RUN x"),
  },
  {
    name: "arg-source-date-epoch-undeclared",
    buildArgs: { SOURCE_DATE_EPOCH: "1000000000" },
    dockerfile: lines("FROM base", "LABEL e=[$SOURCE_DATE_EPOCH]", "RUN x"),
  },
];
