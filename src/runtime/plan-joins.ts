// Namespaces that a container joins by path, and those that have to be made before it is born: what
// is opened, and who enters them when.

import type { Operation } from "../native/index.ts";
import type { OciLinux } from "../spec/index.ts";
import { CLONE, MAGIC, O } from "./kernel-numbers.ts";
import { NAMESPACE_FLAGS, type Namespaces } from "./namespaces.ts";
import { write } from "./plan-builder.ts";

export type Joined = Namespaces["joined"][number] & { slot: number };

export interface Joins {
  container: Operation[];
  /** Slots and flags for clone. */
  inside?: number[];
}

export function openJoined(joined: readonly Joined[]): Operation[] {
  return joined.flatMap(({ path, slot }): Operation[] => [
    { op: "open", path, flags: O.RDONLY, to: slot },
    { op: "assertFilesystem", slot, magic: MAGIC.NSFS },
  ]);
}

/** A pid namespace takes effect for children: it is entered before clone, all others by the
 * container itself. */
export function planJoins(host: Operation[], joined: readonly Joined[]): Joins {
  const container: Operation[] = [];
  for (const { type, slot } of joined) {
    const half = type === "pid" || type === "time" ? host : container;
    half.push({ op: "setns", slot, flags: NAMESPACE_FLAGS[type] }, { op: "close", slot });
  }
  return { container };
}

/** With a user namespace among them all are joined before clone: what is new belongs to that. It
 * comes last, for the others may belong to the host. */
export function bornInside(joined: readonly Joined[]): Joins {
  const last = ({ type }: Joined) => (type === "user" ? 2 : type === "mount" ? 1 : 0);
  const order = [...joined].sort((a, b) => last(a) - last(b));
  return {
    container: joined.map(({ slot }) => ({ op: "close", slot })),
    inside: order.flatMap(({ type, slot }) => [slot, NAMESPACE_FLAGS[type]]),
  };
}

/** A time namespace's clocks can be set only before its first process. */
export function planTime(namespaces: Namespaces, linux: OciLinux | undefined): Operation[] {
  if (!namespaces.isNew("time")) return [];
  const offsets = Object.entries(linux?.timeOffsets ?? {});
  return [
    { op: "unshare", flags: CLONE.NEWTIME },
    ...offsets.map(([clock, { secs = 0, nanosecs = 0 }]) =>
      write("/proc/self/timens_offsets", `${clock} ${secs} ${nanosecs}`),
    ),
  ];
}
