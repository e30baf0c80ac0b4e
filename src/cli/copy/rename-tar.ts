// Gives the first component of every name in a tar stream another name, for copies from one
// container into another: content passes through as it comes, nothing is kept.

import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

export async function* renameTar(
  source: AsyncIterable<Uint8Array>,
  from: string,
  to: string,
): AsyncGenerator<Uint8Array> {
  const { extract, pack } = await import("tar-stream");
  const unpacked = extract();
  const packed = pack();
  const renamed = (name: string): string => {
    const clean = name.replace(/^\/+(?=.)/, "");
    if (clean === from || clean.startsWith(`${from}/`)) return to + clean.slice(from.length);
    return clean;
  };
  const working = (async () => {
    const feeding = pipeline(Readable.from(source), unpacked);
    feeding.catch(() => {});
    for await (const entry of unpacked) {
      const { pax, ...header } = entry.header;
      const name = renamed(header.name);
      const linkname = header.type === "link" ? renamed(header.linkname ?? "") : header.linkname;
      // The names in the extended header would win over these.
      const records = { ...(pax as Record<string, string> | undefined) };
      for (const key of ["path", "linkpath", "size"]) delete records[key];
      const next = { ...header, name, ...(linkname != null && { linkname }), pax: records };
      await pipeline(entry as unknown as Readable, packed.entry(next as never));
    }
    await feeding;
    packed.finalize();
  })();
  working.catch((error: Error) => packed.destroy(error));
  yield* packed as unknown as AsyncIterable<Uint8Array>;
  await working;
}
