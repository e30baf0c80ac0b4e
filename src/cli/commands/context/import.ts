import { Readable } from "node:stream";
import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import {
  type ContextMeta,
  checkContextName,
  TLS_FILES,
  type TlsFiles,
} from "../../config/context-store.ts";
import { readSource } from "../../streams/files.ts";

const ENTRY_BYTES_MAX = 10 << 20;

const command: Command = defineCommand({
  usage: "CONTEXT FILE|-",
  short: "Read a context from an archive",
  args: { min: 2, max: 2 },
  flags: {},
  async run(session, { args }) {
    const [name = "", file = ""] = args;
    const store = session.contexts;
    checkContextName(name);
    if (store.has(name)) {
      throw new GantryError("conflict", `context ${JSON.stringify(name)} already exists`);
    }
    const { extract } = await import("tar-stream");
    const unpack = extract();
    Readable.from(readSource(session.io, file))
      .on("error", (e) => unpack.destroy(e))
      .pipe(unpack);
    let meta: ContextMeta | undefined;
    const tls: TlsFiles = {};
    for await (const entry of unpack) {
      const text = entry.header.name.replace(/^\.\//, "");
      const known = TLS_FILES.find((key) => text === `tls/docker/${key}`);
      if (text !== "meta.json" && !known) {
        entry.resume();
        continue;
      }
      if ((entry.header.size ?? 0) > ENTRY_BYTES_MAX) {
        throw new GantryError("invalid", `invalid context archive: ${text} is too large`);
      }
      const chunks: Buffer[] = [];
      for await (const chunk of entry as unknown as AsyncIterable<Buffer>) chunks.push(chunk);
      if (known) tls[known] = Buffer.concat(chunks);
      else meta = JSON.parse(Buffer.concat(chunks).toString("utf8")) as ContextMeta;
    }
    if (!meta) throw new GantryError("invalid", "invalid context: no metadata found");
    store.put({ Name: name, Metadata: meta.Metadata ?? {}, Endpoints: meta.Endpoints ?? {} });
    store.putTls(name, tls);
    session.print(name);
    session.warn(`Successfully imported context ${JSON.stringify(name)}`);
    return 0;
  },
});
export default command;
