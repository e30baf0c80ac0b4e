// Where the source of a bind comes from, as a detached mount in a slot: a path of the host, a path
// beneath a folder that must not be left, the mount namespace of another container, or the layers
// of an image. Runs in the host half.

import type { Operation } from "../native/index.ts";
import type { OciMount, RootfsMount } from "../spec/index.ts";
import type { KernelFeatures } from "./contract.ts";
import { CLONE, MS, O } from "./kernel-numbers.ts";
import { type PlanBuilder, SCRATCH } from "./plan-builder.ts";
import { overlayOperations } from "./plan-rootfs.ts";

type Bind = Pick<OciMount, "source" | "subpath" | "layers">;

export function openBindSource(
  builder: PlanBuilder,
  { source = "", subpath = "", layers }: Bind,
  { recursive, to, kernel }: { recursive: boolean; to: number; kernel: KernelFeatures },
): Operation[] {
  if (layers) return openLayers(builder, layers, { subpath, to, kernel });
  const [, pid, inner] = /^\/proc\/(\d+)\/root(\/.*)$/.exec(source) ?? [];
  if (pid !== undefined && inner !== undefined) {
    return elsewhere((namespace) => [
      { op: "open", path: `/proc/${pid}/ns/mnt`, flags: O.RDONLY, to: namespace },
      { op: "setns", slot: namespace, flags: CLONE.NEWNS },
      { op: "openTree", path: inner, recursive, to },
      { op: "close", slot: namespace },
    ]);
  }
  if (subpath === "") return [{ op: "openTree", path: source, recursive, to }];
  const [folder] = SCRATCH;
  return [
    { op: "open", path: source, flags: O.PATH, to: folder },
    { op: "openTree", root: folder, path: subpath, recursive, to },
    { op: "close", slot: folder },
  ];
}

/** A part of a mount can be cloned only where the mount is attached, by who is in that mount
 * namespace: go there, clone, come back. `work` has a slot of its own. */
function elsewhere(work: (slot: number) => Operation[]): Operation[] {
  const [own, other] = SCRATCH;
  return [
    { op: "open", path: "/proc/self/ns/mnt", flags: O.RDONLY, to: own },
    ...work(other),
    { op: "setns", slot: own, flags: CLONE.NEWNS },
    { op: "close", slot: own },
  ];
}

function openLayers(
  builder: PlanBuilder,
  layers: RootfsMount,
  { subpath, to, kernel }: { subpath: string; to: number; kernel: KernelFeatures },
): Operation[] {
  const whole: Operation[] =
    layers.kind === "bind"
      ? [{ op: "openTree", path: layers.path, recursive: true, to }]
      : overlayOperations(builder, layers, { kernel, to });
  if (subpath === "") return whole;
  // Attached over a folder that nobody else looks at, in a namespace that ends with this.
  const place = layers.kind === "bind" ? layers.path : layers.upperDir;
  return [
    ...whole,
    ...elsewhere((folder) => [
      { op: "unshare", flags: CLONE.NEWNS },
      { op: "propagation", path: "/", flags: MS.PRIVATE | MS.REC },
      { op: "moveMount", slot: to, path: place },
      { op: "close", slot: to },
      { op: "open", path: place, flags: O.PATH | O.DIRECTORY, to: folder },
      { op: "openTree", root: folder, path: subpath, to },
      { op: "close", slot: folder },
    ]),
  ];
}
