// What a repository says of itself: the annotation org.opencontainers.image.description of the
// manifest that "latest" (or else the first tag) points to, of an index's first manifest, or the
// label of the same name in the image's configuration. A handful of small reads, never more.

import type { RegistryContent } from "./contract.ts";
import { isDigest } from "./names.ts";

const DESCRIPTION = "org.opencontainers.image.description";
const descriptionLengthMax = 300;
const configBytesMax = 1024 * 1024;

/** Empty where nothing is said. Throws what the content throws. */
export async function describe(content: RegistryContent, name: string): Promise<string> {
  const tag = await chosenTag(content, name);
  if (tag === undefined) return "";
  const top = await manifest(content, name, tag);
  const own = annotation(top);
  if (own !== "") return own;
  const first = array(top["manifests"]).map(object)[0];
  if (first === undefined) return await label(content, name, top);
  const noted = annotation(first);
  if (noted !== "" || !isDigest(first["digest"])) return noted;
  const child = await manifest(content, name, first["digest"]);
  return annotation(child) || (await label(content, name, child));
}

async function chosenTag(content: RegistryContent, name: string): Promise<string | undefined> {
  // "latess~" comes right before "latest": one listing finds it, or what stands first otherwise.
  const { tags } = await content.tags(name, { limit: 1, after: "latess~" });
  if (tags[0] === "latest") return "latest";
  return (await content.tags(name, { limit: 1 })).tags[0];
}

async function label(content: RegistryContent, name: string, of: Json): Promise<string> {
  const { digest, size } = object(of["config"]);
  if (!isDigest(digest) || typeof size !== "number" || size > configBytesMax) return "";
  const facts = await content.blob(name, digest);
  if (facts.size > configBytesMax) return "";
  const chunks: Buffer[] = [];
  for await (const chunk of await content.openBlob(name, digest)) chunks.push(chunk as Buffer);
  const config = parse(Buffer.concat(chunks));
  return shortened(object(object(config["config"])["Labels"])[DESCRIPTION]);
}

async function manifest(content: RegistryContent, name: string, reference: string): Promise<Json> {
  return parse((await content.manifest(name, reference)).raw);
}

type Json = Record<string, unknown>;

function parse(bytes: Buffer): Json {
  try {
    return object(JSON.parse(bytes.toString("utf8")));
  } catch {
    return {};
  }
}

function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Json)
    : {};
}

function array(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function annotation(of: Json): string {
  return shortened(object(of["annotations"])[DESCRIPTION]);
}

function shortened(value: unknown): string {
  if (typeof value !== "string") return "";
  return value.replace(/\s+/g, " ").trim().slice(0, descriptionLengthMax);
}
