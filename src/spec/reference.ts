// Image references as Docker reads them (distribution/reference grammar): a short name gets the
// registry docker.io and, there, the namespace library; no tag and no digest means :latest.

import { GantryError } from "../base/index.ts";

export interface Reference {
  /** docker.io, localhost:5000 … */
  registry: string;
  /** library/alpine */
  repository: string;
  tag?: string;
  digest?: string;
}

const DOMAIN = /^(?:\[[0-9a-fA-F:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::[0-9]+)?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const NAME_LENGTH_MAX = 255;

/** Parses a reference that a person wrote; throws invalid with docker's wording. */
export function parseReference(text: string, { defaultTag = true } = {}): Reference {
  if (/^[a-f0-9]{64}$/.test(text)) {
    throw bad(text, "cannot specify 64-byte hexadecimal strings");
  }
  let rest = text;
  let digest: string | undefined;
  const at = rest.indexOf("@");
  if (at >= 0) {
    digest = rest.slice(at + 1);
    rest = rest.slice(0, at);
    if (!DIGEST.test(digest)) throw bad(text);
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(":");
  if (colon > rest.lastIndexOf("/")) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
    if (!TAG.test(tag)) throw bad(text);
  }
  const { registry, repository } = splitDomain(rest, text);
  if (tag === undefined && digest === undefined && defaultTag) tag = "latest";
  return {
    registry,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

function splitDomain(name: string, text: string): { registry: string; repository: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isDomain =
    first !== "" && (/[.:]/.test(first) || first === "localhost" || first.toLowerCase() !== first);
  let registry = isDomain ? first : "docker.io";
  let repository = isDomain ? name.slice(slash + 1) : name;
  if (registry === "index.docker.io") registry = "docker.io";
  if (registry === "docker.io" && repository !== "" && !repository.includes("/")) {
    repository = `library/${repository}`;
  }
  if (!DOMAIN.test(registry)) throw bad(text);
  if (repository.toLowerCase() !== repository) {
    throw bad(text, `repository name (${repository}) must be lowercase`);
  }
  if (!repository.split("/").every((part) => COMPONENT.test(part))) throw bad(text);
  if (registry.length + 1 + repository.length > NAME_LENGTH_MAX) {
    throw bad(text, `repository name must not be more than ${NAME_LENGTH_MAX} characters`);
  }
  return { registry, repository };
}

function bad(text: string, why?: string): GantryError {
  const reason =
    why === undefined ? "invalid reference format" : `invalid reference format: ${why}`;
  return new GantryError("invalid", reason, { detail: { reference: text } });
}

/** docker.io/library/alpine:3.20 – the key under which images are kept. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}

/** alpine:3.20 – as people write and docker shows it. */
export function familiarReference(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${familiarName(reference)}${tag}${digest}`;
}

/** alpine, without tag or digest. */
export function familiarName({ registry, repository }: Reference): string {
  if (registry !== "docker.io") return `${registry}/${repository}`;
  const short = repository.replace(/^library\//, "");
  return repository.startsWith("library/") && !short.includes("/") ? short : repository;
}
