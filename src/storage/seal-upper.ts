// An upper folder that becomes a layer as it is, without being read into this process or written
// again: one native pass over it computes the diff id and the split of the tar that it would be.
//
// Crash safety: the folder is moved after the pass and the row follows the move. A crash before the
// move leaves a snapshot without a container and a layer folder without a row, one after it only
// the latter: reconcile() removes both.

import type { Native } from "../native/index.ts";
import { O } from "./archive-flags.ts";
import { archiveError, READ_ALL_MS } from "./native-streams.ts";

export interface SealedUpper {
  diff_id: string;
  size: number;
  tar_size: number;
  opaque_root: number;
}

/** Undefined when the folder is not what its tar would unpack to: a file named like a whiteout. */
export async function sealUpper(
  native: Native,
  upperDir: string,
  split: string,
  { signal }: { signal?: AbortSignal },
): Promise<SealedUpper | undefined> {
  const plan = {
    host: [
      { op: "open" as const, path: upperDir, flags: O.directory, to: 0 },
      {
        ...{ op: "open" as const, path: split, mode: 0o600, to: 1 },
        flags: O.rdwr | O.creat | O.excl,
      },
      { op: "chroot" as const, slot: 0 },
      { op: "sealUpper" as const, root: 0, split: 1 },
    ],
    deadlineMs: READ_ALL_MS,
  };
  const results = await native.run(plan, signal ? { signal } : {}).catch((error) => {
    throw archiveError(error);
  });
  const bytes = Buffer.from(results.bytes(plan.host.length - 1));
  const [unlike = 0, size = 0, opaque = 0, tarSize = 0] = [0, 8, 16, 24].map((at) =>
    Number(bytes.readBigInt64LE(at)),
  );
  if (unlike !== 0) return undefined;
  const diffId = `sha256:${bytes.toString("hex", 32, 64)}`;
  return { diff_id: diffId, size, tar_size: tarSize, opaque_root: opaque };
}
