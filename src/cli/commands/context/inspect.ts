import { messageOf } from "../../../base/index.ts";
import { goJson } from "../../../template/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import type { ContextMeta } from "../../config/context-store.ts";
import { ClosedStruct } from "../../format/closed-struct.ts";
import { objectFormat } from "../../format/object.ts";
import { FORMAT_OBJECT_USAGE } from "../../format/usage.ts";
import { stored } from "./shared.ts";

interface Shown extends ContextMeta {
  TLSMaterial: Record<string, string[]>;
  Storage: { MetadataPath: string; TLSPath: string };
}

/** As docker's templates see it: structs, of which one is embedded. */
function asStruct(shown: Shown): ClosedStruct {
  const { Name, Metadata: meta, Endpoints: known, TLSMaterial, Storage } = shown;
  const { Description = "", ...more } = meta as Record<string, unknown>;
  const Metadata = new ClosedStruct(
    "command.DockerContext",
    { Description, AdditionalFields: more },
    { promoted: more, json: meta },
  );
  const Endpoints = Object.fromEntries(
    Object.entries(known).map(([name, endpoint]) => [
      name,
      new ClosedStruct("interface {}", { Host: "", ...(endpoint as object) }, { json: endpoint }),
    ]),
  );
  const embedded = { Name, Metadata, Endpoints };
  return new ClosedStruct(
    "context.contextWithTLSListing",
    {
      Metadata: new ClosedStruct("store.Metadata", embedded),
      TLSMaterial,
      Storage: new ClosedStruct("store.StorageInfo", Storage),
    },
    { promoted: { Name, Endpoints }, json: shown },
  );
}

const command: Command = defineCommand({
  usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
  short: "Show details of contexts",
  args: { min: 0 },
  flags: { format: { type: "string", shorthand: "f", usage: FORMAT_OBJECT_USAGE } },
  async run(session, { values, args }) {
    const template = values.format ? await objectFormat(values.format) : undefined;
    const names = args.length > 0 ? args : [session.contextName];
    const store = session.contexts;
    const found: Shown[] = [];
    const failures: string[] = [];
    for (const name of names) {
      try {
        const { meta, tls } = stored(session, name);
        const builtIn = name === "default";
        found.push({
          ...meta,
          TLSMaterial: Object.keys(tls).length > 0 ? { docker: Object.keys(tls) } : {},
          Storage: {
            MetadataPath: builtIn ? "<IN MEMORY>" : store.metaFolder(name),
            TLSPath: builtIn ? "<IN MEMORY>" : store.tlsFolder(name),
          },
        });
      } catch (error) {
        failures.push(messageOf(error));
      }
    }
    if (template) for (const one of found) session.print(template(asStruct(one)));
    else session.print(goJson(found, { indent: "    ", escapeHtml: true }));
    for (const failure of failures) session.warn(failure);
    return failures.length === 0 ? 0 : 1;
  },
});
export default command;
