// A definition that stands for the result of a build of ours. Clients pass a result from one build
// to another (bake's linked targets) as the graph that makes it; ours is one source, which nobody
// but this daemon can read.

import { createHash } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ops } from "../gen/buildkit/index.ts";

const SCHEME = "gantry-result://";

/** The definition for a result's id. */
export function writeMarker(id: string): ops.Definition {
  const source = encode({
    op: { case: "source", value: { identifier: `${SCHEME}${id}` } },
  });
  // The last operation names what the definition is of.
  const last = encode({ inputs: [{ digest: digestOf(source) }] });
  // Clients take a definition without metadata for none.
  const metadata = { [digestOf(source)]: {}, [digestOf(last)]: {} };
  return create(ops.DefinitionSchema, { def: [source, last], metadata });
}

const digestOf = (bytes: Uint8Array): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

function encode(op: Parameters<typeof create<typeof ops.OpSchema>>[1]): Uint8Array<ArrayBuffer> {
  return toBinary(ops.OpSchema, create(ops.OpSchema, op)) as Uint8Array<ArrayBuffer>;
}

/** The id; undefined for any other definition. */
export function readMarker({ def }: ops.Definition): string | undefined {
  for (const bytes of def) {
    const { op } = fromBinary(ops.OpSchema, bytes);
    if (op.case === "source" && op.value.identifier.startsWith(SCHEME)) {
      return op.value.identifier.slice(SCHEME.length);
    }
  }
  return undefined;
}
