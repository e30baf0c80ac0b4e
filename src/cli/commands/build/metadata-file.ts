// --metadata-file: what the outputs of a build said, its name in the history, and how it was made.

import type { Session } from "../../session.ts";
import { openBuilder } from "./builder.ts";
import { type BuildResult, writeResult } from "./run-build.ts";
import { provenanceMetadata } from "./statements.ts";

/** By the names of the builds. */
export async function resultMetadata(
  session: Session,
  builds: ReadonlyMap<string, BuildResult>,
): Promise<Record<string, Record<string, unknown>>> {
  const { env, signal } = session.io;
  const mode = env["BUILDX_METADATA_PROVENANCE"];
  using builder = await openBuilder(session);
  const out: Record<string, Record<string, unknown>> = {};
  for (const [name, { response, ref }] of builds) {
    const provenance = await provenanceMetadata(builder, ref, { mode, signal });
    const own = { "buildx.build.ref": `default/default/${ref}`, ...provenance };
    out[name] = sorted({ ...metadataOf(response), ...own });
  }
  return out;
}

const sorted = (values: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)));

/** What the outputs said; values that are JSON in base64 are written as JSON. */
export function metadataOf(response: Readonly<Record<string, string>>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(response)) {
    out[name] = jsonInBase64(value) ?? value;
  }
  return out;
}

function jsonInBase64(text: string): unknown {
  const decoded = Buffer.from(text, "base64");
  if (decoded[0] !== 0x7b && decoded[0] !== 0x5b) return undefined;
  if (decoded.toString("base64") !== text) return undefined;
  try {
    return JSON.parse(decoded.toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}

/** The file of one build, or of those of a bake by their targets. */
export async function writeMetadata(
  session: Session,
  path: string,
  metadata: Record<string, unknown>,
): Promise<void> {
  await writeResult(session, path, JSON.stringify(sorted(metadata), undefined, 2));
}
