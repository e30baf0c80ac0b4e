import { readFile, writeFile } from "node:fs/promises";
import { GantryError, messageOf } from "../../../base/index.ts";
import {
  copyManifest,
  type FullDescriptor,
  putAny,
  readDescriptor,
} from "../../../distribution/index.ts";
import { digestOf, formatReference, parseReference, type Reference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { callerPath } from "../../io.ts";
import type { Session } from "../../session.ts";
import { BUILDER_NAME_FLAGS, checkBuilder } from "../build/checked-builder.ts";
import { type Combined, type CombineSource, combine, parseAnnotations } from "./combine.ts";
import { Places } from "./places.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] [SOURCE...]",
  short: "Create an image of others that are in registries: an index, or a copy",
  args: { min: 0 },
  flags: {
    ...BUILDER_NAME_FLAGS,
    annotation: {
      type: "list",
      usage: 'Add an annotation ("index:KEY=VALUE", "manifest-descriptor:KEY=VALUE")',
    },
    append: { type: "bool", usage: "Add to what the tag names now" },
    "dry-run": { type: "bool", usage: "Show the final image instead of pushing" },
    file: { type: "list", shorthand: "f", usage: "Read a source descriptor from a file" },
    "metadata-file": { type: "string", usage: "Write what was created to a file" },
    platform: {
      type: "list",
      shorthand: "p",
      usage: "Take only what is for this platform from the sources",
    },
    "prefer-index": {
      type: "bool",
      default: true,
      usage: "Make an index also of a single image, rather than a copy of it",
    },
    progress: { type: "string", default: "auto", usage: 'How to show progress ("auto", "none")' },
    tag: { type: "list", shorthand: "t", usage: "Set the reference of the new image" },
  },
  async run(session, { values, args }) {
    checkBuilder(values.builder);
    const tags = values.tag.map((text) => parseReference(text));
    if (tags.length === 0 && !values["dry-run"]) {
      const message = "can't push with no tags specified, please set --tag or --dry-run";
      throw new GantryError("invalid", message);
    }
    if (values.append && tags.length === 0) {
      throw new GantryError("invalid", "can't append with no tags specified, please set --tag");
    }
    const places = new Places(session);
    const texts = [...args, ...(await descriptorFiles(session, values.file))];
    if (values.append) texts.unshift(formatReference(onlyRepository(tags)));
    if (texts.length === 0) throw new GantryError("invalid", "no sources specified");
    const sources = await Promise.all(texts.map((text) => readSource(places, text, tags)));
    const combined = combine(sources, parseAnnotations(values.annotation), {
      preferIndex: values["prefer-index"],
      platforms: values.platform,
    });
    if (values["dry-run"]) {
      session.print(combined.raw.toString("utf8"));
      return 0;
    }
    for (const tag of tags) await push(session, places, sources, { tag, combined });
    if (values["metadata-file"]) {
      const path = callerPath(session.io, values["metadata-file"]);
      await writeFile(path, metadataOf(tags, combined));
    }
    return 0;
  },
});
export default command;

interface Source extends CombineSource {
  reference: Reference;
}

/** A reference, or a descriptor as JSON, which is of the repository that the tags name. */
async function readSource(places: Places, text: string, tags: Reference[]): Promise<Source> {
  if (!text.trimStart().startsWith("{")) {
    const reference = parseReference(text);
    const manifest = await places.fetch(reference);
    return { reference, manifest, descriptor: await places.describe(reference, manifest) };
  }
  let given: FullDescriptor;
  try {
    given = readDescriptor(JSON.parse(text));
  } catch (cause) {
    const message = `failed to parse a source descriptor: ${messageOf(cause)}`;
    throw new GantryError("invalid", message, { cause });
  }
  const { tag: _, ...repository } = onlyRepository(tags);
  const reference = { ...repository, digest: given.digest };
  const manifest = await places.fetch(reference);
  const known = await places.describe(reference, manifest);
  const platform = given.platform ?? known.platform;
  return { reference, manifest, descriptor: { ...known, ...given, ...(platform && { platform }) } };
}

function onlyRepository(tags: readonly Reference[]): Reference {
  const names = [...new Set(tags.map(({ registry, repository }) => `${registry}/${repository}`))];
  const [first] = tags;
  if (first !== undefined && names.length === 1) return first;
  const which =
    names.length === 0
      ? "no repositories specified, please set a reference in tag or source"
      : `multiple repositories currently not supported, found [${names.join(" ")}]`;
  throw new GantryError("invalid", which);
}

async function descriptorFiles(session: Session, paths: readonly string[]): Promise<string[]> {
  const texts: string[] = [];
  for (const path of paths) {
    texts.push((await readFile(callerPath(session.io, path), "utf8")).trim());
  }
  return texts;
}

/** Everything that the new image names, then the image under its tag. */
async function push(
  session: Session,
  places: Places,
  sources: readonly Source[],
  { tag, combined }: { tag: Reference; combined: Combined },
): Promise<void> {
  const { signal } = session.io;
  const to = await places.of(tag);
  for (const { reference, manifest } of sources) {
    const from = await places.of(reference);
    await copyManifest(manifest, { from, to, signal });
  }
  await putAny(to, tag.tag ?? "latest", combined, { signal });
  session.warn(`pushing ${digestOf(combined.raw)} to ${formatReference(tag)}`);
}

function metadataOf(tags: readonly Reference[], { raw, mediaType }: Combined): string {
  const digest = digestOf(raw);
  const metadata = {
    "containerimage.descriptor": { mediaType, digest, size: raw.length },
    "containerimage.digest": digest,
    "image.name": tags.map(formatReference).join(","),
  };
  return JSON.stringify(metadata, undefined, 2);
}
