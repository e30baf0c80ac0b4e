// Checks the few members of an image config that storage itself relies on; the rest is left to
// whoever runs the image. The raw bytes stay as they are, since their digest is the image's id.

import { GantryError } from "../base/index.ts";
import { algorithmOf, type ImageConfigDocument, isDigest } from "../spec/index.ts";

/** overlay takes 500 lower layers; docker makes 127 at most. */
export const LAYERS_MAX = 499;

export function parseImageConfig(raw: Uint8Array): ImageConfigDocument {
  const config = parseObject(raw, "image config") as unknown as ImageConfigDocument;
  const diffIds: unknown = config.rootfs?.diff_ids ?? [];
  if (!Array.isArray(diffIds) || !diffIds.every((id) => typeof id === "string" && isDigest(id))) {
    throw new GantryError("invalid", "Invalid image config: rootfs.diff_ids must be digests");
  }
  const other = diffIds.find((id) => algorithmOf(id) !== "sha256");
  if (other !== undefined) {
    const message = `Image names its layers by ${algorithmOf(other)}: only sha256 is supported`;
    throw new GantryError("not-implemented", message);
  }
  if (diffIds.length > LAYERS_MAX) {
    const message = `Image has ${diffIds.length} layers, more than ${LAYERS_MAX}`;
    throw new GantryError("invalid", message);
  }
  return { ...config, rootfs: { type: "layers", diff_ids: diffIds as string[] } };
}

/** Parses JSON that must be an object; `what` names it in the error. */
export function parseObject(raw: Uint8Array, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(raw));
  } catch (cause) {
    throw new GantryError("invalid", `Invalid ${what}: not JSON`, { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new GantryError("invalid", `Invalid ${what}: not a JSON object`);
}
