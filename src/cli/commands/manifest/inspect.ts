import { GantryError } from "../../../base/index.ts";
import { fetchManifest, fullPlatform } from "../../../distribution/index.ts";
import { parseReference, type Reference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import type { Session } from "../../session.ts";
import { type ListEntry, ListStore } from "./list-store.ts";
import {
  entryOf,
  INSECURE_USAGE,
  imageEntry,
  listDocument,
  remoteManifest,
  shown,
} from "./shared.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
  short: "Show an image manifest or a list of them",
  args: { min: 1, max: 2 },
  flags: {
    insecure: { type: "bool", usage: INSECURE_USAGE },
    verbose: {
      type: "bool",
      shorthand: "v",
      usage: "Show more: the descriptor with its platform, and the bytes",
    },
  },
  async run(session, { values: { insecure, verbose }, args }) {
    const store = new ListStore(session);
    if (args.length === 2) {
      const [list, image] = args.map((text) => parseReference(text)) as [Reference, Reference];
      const entry = await store.entry(list, image);
      if (entry === undefined) {
        throw new GantryError("not-found", `No such manifest: ${shown(image)}`);
      }
      return printImage(session, entry, verbose);
    }
    const reference = parseReference(args[0]!);
    const entries = await store.entries(reference);
    if (entries !== undefined) return printList(session, entries, verbose);
    return inspectRemote(session, reference, { insecure, verbose });
  },
});
export default command;

async function inspectRemote(
  session: Session,
  reference: Reference,
  { insecure, verbose }: { insecure: boolean; verbose: boolean },
): Promise<number> {
  const { registry, remote } = await remoteManifest(session, reference, insecure);
  if (remote.parsed.kind === "image") {
    if (!verbose) return printRaw(session, remote.raw);
    return printImage(session, (await imageEntry(session, reference, insecure))!, true);
  }
  const { manifests = [] } = JSON.parse(remote.raw.toString("utf8")) as {
    manifests?: { platform?: unknown }[];
  };
  const members = remote.parsed.manifests.map(({ mediaType, size, digest }, at) => ({
    Descriptor: { mediaType, size, digest, platform: fullPlatform(manifests[at]?.platform) },
  }));
  if (!verbose) return printList(session, members, false);
  const entries: ListEntry[] = [];
  for (const { Descriptor } of members) {
    const one = { ...reference, digest: Descriptor.digest };
    entries.push(entryOf(one, await fetchManifest(registry, one), Descriptor.platform));
  }
  return printList(session, entries, true);
}

function printImage(session: Session, entry: ListEntry, verbose: boolean): number {
  if (!verbose) return printRaw(session, Buffer.from(entry.Raw, "base64"));
  session.print(JSON.stringify(entry, undefined, "\t"));
  return 0;
}

function printRaw(session: Session, raw: Buffer): number {
  session.print(JSON.stringify(JSON.parse(raw.toString("utf8")), undefined, "\t"));
  return 0;
}

function printList(
  session: Session,
  entries: readonly Pick<ListEntry, "Descriptor">[],
  verbose: boolean,
): number {
  if (verbose) session.print(JSON.stringify(entries, undefined, "\t"));
  else session.print(listDocument(entries).raw.toString("utf8"));
  return 0;
}
