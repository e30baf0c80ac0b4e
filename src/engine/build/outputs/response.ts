// What an exporter answers: BuildKit's keys, which clients write to --metadata-file and --iidfile.

import type { IndexEntry } from "./manifests.ts";
import type { Shaped } from "./shape.ts";

export type Response = Record<string, string>;

/** Of an image, wherever it went. `names`: "docker.io/library/x:latest". */
export function describe(
  shaped: Shaped,
  names: readonly string[],
  epochSeconds: number | undefined,
): Response {
  const { top, images } = shaped;
  const [first] = images;
  const id = images.length === 1 ? first!.id : undefined;
  const descriptor = top && created(top, epochSeconds, id);
  return {
    ...(id !== undefined && { "containerimage.config.digest": id }),
    "containerimage.digest": top?.digest ?? id ?? "",
    ...(descriptor && {
      "containerimage.descriptor": Buffer.from(JSON.stringify(descriptor)).toString("base64"),
    }),
    ...(names.length > 0 && { "image.name": names.join(",") }),
  };
}

/** With the annotations of what is told of it: when it was made, and the config's digest. */
function created(
  { platform, annotations, ...descriptor }: IndexEntry,
  epochSeconds: number | undefined,
  id: string | undefined,
): object {
  return {
    ...descriptor,
    annotations: {
      ...(id !== undefined && { "config.digest": id }),
      ...annotations,
      "org.opencontainers.image.created": creationTime(epochSeconds),
    },
    ...(platform && { platform }),
  };
}

/** Seconds are enough. */
export function creationTime(epochSeconds: number | undefined): string {
  const ms = epochSeconds === undefined ? Date.now() : epochSeconds * 1000;
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
