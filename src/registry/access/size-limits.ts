// A size limit for blobs around any RegistryContent: a body that grows beyond it is refused with
// 413 while it is received, before the rest of it is read or stored. (Manifests: RegistryLimits.)

import { type Readable, Transform } from "node:stream";
import type { RegistryContent } from "../contract.ts";
import { RegistryError } from "../errors.ts";
import type { SizeLimitOptions } from "./options.ts";

export function limitSizes(content: RegistryContent, options: SizeLimitOptions): RegistryContent {
  const { blobBytesMax } = options;
  if (blobBytesMax === undefined) return content;
  // The content may be of a class: its methods stay bound to it.
  return new Proxy(content, {
    get(target, property) {
      if (property === "append") {
        return async (...[name, id, offset, bytes]: Parameters<RegistryContent["append"]>) =>
          target.append(name, id, offset, limited(bytes, blobBytesMax - offset, blobBytesMax));
      }
      const value: unknown = Reflect.get(target, property);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** The stream, failing when more than `left` bytes come. */
function limited(bytes: Readable, left: number, blobBytesMax: number): Readable {
  const limit = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      left -= chunk.length;
      if (left < 0) done(tooLarge(blobBytesMax));
      else done(null, chunk);
    },
  });
  limit.on("error", () => {}); // it may break before anybody reads it
  bytes.on("error", (error) => limit.destroy(error));
  bytes.on("close", () => {
    if (!bytes.readableEnded) limit.destroy(new Error("The body ended early"));
  });
  if (bytes.destroyed && !bytes.readableEnded) limit.destroy(new Error("The body ended early"));
  return bytes.pipe(limit);
}

function tooLarge(bytesMax: number): RegistryError {
  return new RegistryError("SIZE_INVALID", `the blob is larger than ${bytesMax} bytes`, {
    status: 413,
    detail: { bytesMax },
  });
}
