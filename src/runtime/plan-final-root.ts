// The root of a container in the container half: over "/" first, then what is in its /dev, what is
// masked, and at last its final form.

import { GantryError } from "../base/index.ts";
import type { OciSpec } from "../spec/index.ts";
import { cleanPath } from "./cgroup/places.ts";
import { MOUNT_ATTR, MS, O } from "./kernel-numbers.ts";
import { parseMountOptions } from "./mount-options.ts";
import { SLOT } from "./plan-builder.ts";
import { allDevices, planDeviceLinks, planDevices } from "./plan-devices.ts";
import type { Draft } from "./plan-draft.ts";
import { rootPlace } from "./plan-hooks.ts";
import { isBind } from "./plan-mounts.ts";
import { planStreams, planTerminal } from "./plan-streams.ts";

const PROPAGATIONS: Readonly<Record<string, number>> = {
  shared: MS.SHARED,
  rshared: MS.SHARED | MS.REC,
  slave: MS.SLAVE,
  rslave: MS.SLAVE | MS.REC,
  private: MS.PRIVATE,
  rprivate: MS.PRIVATE | MS.REC,
  unbindable: MS.UNBINDABLE,
  runbindable: MS.UNBINDABLE | MS.REC,
};

/** Cuts the tie to the host's mounts, then puts the root over "/": that needs no folder of the
 * host, which a mapped root might not even be able to reach. */
export function planRoot({ builder, attachRoot, input }: Draft): void {
  const flags = MS.SLAVE | MS.REC;
  builder.container.push({ op: "propagation", path: "/", flags }, ...rootPlace(attachRoot, input));
}

const devMounts = ({ mounts = [] }: OciSpec) =>
  mounts.filter(({ destination }) => cleanPath(destination) === "/dev");
export const bringsDev = (spec: OciSpec): boolean => devMounts(spec).some(isBind);

/** /dev, unless the user brought one; the terminal, which lives in the container's own devpts. */
export function planDev(draft: Draft): void {
  const { builder, spec, input } = draft;
  const { container } = builder;
  const brought = bringsDev(spec);
  if (!brought) {
    const missing = allDevices(spec.linux?.devices).filter(({ path }) => !draft.made.has(path));
    const fresh = devMounts(spec).length > 0;
    const links = planDeviceLinks(fresh, draft.kernel.kcore);
    container.push(...planDevices(missing, draft.devices, { fresh }), ...links);
  }
  const { terminal, openStdin } = input.monitor;
  container.push(
    ...(terminal
      ? planTerminal(spec.process!, { root: SLOT.rootfs, console: !brought })
      : input.standalone
        ? []
        : planStreams(openStdin, SLOT.rootfs)),
  );
  // The options of a read-only /dev can take effect only when its nodes are there.
  for (const mount of spec.mounts ?? []) {
    const { readonly, remount } = parseMountOptions(mount.options);
    if (mount.type !== "tmpfs" || !readonly || remount) continue;
    const path = cleanPath(mount.destination);
    container.push(
      { op: "open", root: SLOT.rootfs, path, flags: O.PATH, to: SLOT.temporary },
      { op: "mountAttr", slot: SLOT.temporary, set: MOUNT_ATTR.RDONLY },
      { op: "close", slot: SLOT.temporary },
    );
  }
}

export function planPaths({ builder, spec }: Draft): void {
  const { container } = builder;
  for (const path of [...(spec.linux?.readonlyPaths ?? []), ...(spec.linux?.maskedPaths ?? [])]) {
    if (path.startsWith("/")) continue;
    throw new GantryError("invalid", `the path ${JSON.stringify(path)} to mask is not absolute`);
  }
  for (const path of spec.linux?.readonlyPaths ?? []) {
    container.push({ op: "readonlyPath", root: SLOT.rootfs, path });
  }
  for (const path of spec.linux?.maskedPaths ?? []) {
    container.push({ op: "maskPath", root: SLOT.rootfs, path, devNull: SLOT.devNull });
  }
}

/** The working folder is made while the root is writable; then the root takes its final form. */
export function planFinalRoot({ builder, spec, input }: Draft): void {
  const { container } = builder;
  const root = SLOT.rootfs;
  container.push({ op: "mkdirs", root, path: spec.process!.cwd, mode: 0o755 });
  if (spec.root?.readonly) {
    container.push({ op: "mountAttr", slot: root, set: MOUNT_ATTR.RDONLY });
  }
  // Over "/" the root is already: where pivot_root is refused (an initramfs), chroot is enough.
  container.push({ op: input.standalone?.noPivot ? "chroot" : "pivotRoot", slot: root });
  const propagation = spec.linux?.rootfsPropagation;
  if (!propagation) return;
  const flags = Object.hasOwn(PROPAGATIONS, propagation) ? PROPAGATIONS[propagation] : undefined;
  if (flags === undefined) {
    throw new GantryError("invalid", `rootfsPropagation=${propagation} is not supported`);
  }
  container.push({ op: "propagation", path: "/", flags });
}
