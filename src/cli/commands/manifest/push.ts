import { GantryError, messageOf } from "../../../base/index.ts";
import { copyWithin, putList } from "../../../distribution/index.ts";
import { parseReference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { registryOf } from "../../config/registry-access.ts";
import { type ListEntry, ListStore } from "./list-store.ts";
import { INSECURE_USAGE, listDocument, shown } from "./shared.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] MANIFEST_LIST",
  short: "Push a list to its registry",
  args: { min: 1, max: 1 },
  flags: {
    insecure: { type: "bool", usage: INSECURE_USAGE },
    purge: { type: "bool", shorthand: "p", usage: "Remove the local list after the push" },
  },
  async run(session, { values: { insecure, purge }, args }) {
    const list = parseReference(args[0]!);
    const store = new ListStore(session);
    const entries = await store.entries(list);
    if (entries === undefined) {
      throw new GantryError("not-found", `No such manifest: ${shown(list)}`);
    }
    const sources = entries.map((entry) => checkSource(entry, list.registry));
    const registry = await registryOf(session, list, { insecure });
    const { signal } = session.io;
    for (const { entry, repository } of sources) {
      if (repository === list.repository) continue;
      const raw = Buffer.from(entry.Raw, "base64");
      const { mediaType } = entry.Descriptor;
      const places = { from: repository, to: list.repository };
      const digest = await copyWithin(registry, places, { raw, mediaType }, { signal });
      session.print(`Pushed ref ${shown({ ...list, digest })} with digest: ${digest}`);
    }
    const digest = await putList(registry, list, listDocument(entries), { signal }).catch(
      (cause: unknown) => {
        const what = `failed to put manifest ${shown(list)}: ${messageOf(cause)}`;
        throw new GantryError("internal", what, { cause });
      },
    );
    if (purge) await store.remove(list);
    session.print(digest);
    return 0;
  },
});
export default command;

/** Images come from the list's own registry, and somebody has said what they run on. */
function checkSource(entry: ListEntry, target: string): { entry: ListEntry; repository: string } {
  const { registry, repository } = parseReference(entry.Ref);
  if (registry !== target) {
    throw new GantryError(
      "invalid",
      "cannot use source images from a different registry than the target image: " +
        `${registry} != ${target}`,
    );
  }
  const { os, architecture } = entry.Descriptor.platform ?? {};
  if (!os || !architecture) {
    throw new GantryError(
      "invalid",
      `manifest ${entry.Ref} must have an OS and Architecture to be pushed to a registry`,
    );
  }
  return { entry, repository };
}
