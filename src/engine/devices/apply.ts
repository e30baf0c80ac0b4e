// A container's OCI configuration with the edits of its CDI devices. Pure. As the CDI reference
// does it: a variable, a node or a mount of a device replaces one of the same name.

import type { OciMount, OciSpec } from "../../spec/index.ts";
import type { DeviceEdits, SpecHook } from "./contract.ts";

export function applyDeviceEdits(spec: OciSpec, edits: readonly DeviceEdits[]): OciSpec {
  return edits.reduce(applyOne, spec);
}

function applyOne(spec: OciSpec, edits: DeviceEdits): OciSpec {
  const { process, linux = {} } = spec;
  const user = process?.user;
  const devices = edits.devices.map((device) => ({
    ...device,
    // A node that nobody gave an owner is the user's.
    ...(device.uid === undefined && user?.uid ? { uid: user.uid } : {}),
    ...(device.gid === undefined && user?.gid ? { gid: user.gid } : {}),
  }));
  const paths = new Set(devices.map(({ path }) => path));
  const targets = new Set(edits.mounts.map(({ destination }) => destination));
  return {
    ...spec,
    ...(process && {
      process: {
        ...process,
        env: withVariables(process.env ?? [], edits.env),
        user: {
          ...process.user,
          additionalGids: [
            ...new Set([...(process.user.additionalGids ?? []), ...edits.additionalGids]),
          ],
        },
      },
    }),
    ...(edits.hooks.length > 0 && { hooks: withHooks(spec.hooks, edits.hooks) }),
    mounts: inOrder([
      ...(spec.mounts ?? []).filter(({ destination }) => !targets.has(destination)),
      ...edits.mounts,
    ]),
    linux: {
      ...linux,
      devices: [...(linux.devices ?? []).filter(({ path }) => !paths.has(path)), ...devices],
      resources: {
        ...linux.resources,
        devices: [...(linux.resources?.devices ?? []), ...edits.rules],
      },
    },
  };
}

function withVariables(env: readonly string[], added: readonly string[]): string[] {
  const names = new Set(added.map(nameOf));
  return [...env.filter((entry) => !names.has(nameOf(entry))), ...added];
}

function withHooks(hooks: OciSpec["hooks"], added: readonly SpecHook[]): OciSpec["hooks"] {
  const all: NonNullable<OciSpec["hooks"]> = { ...hooks };
  for (const { point, hook } of added) all[point] = [...(all[point] ?? []), hook];
  return all;
}

const nameOf = (entry: string): string => entry.split("=", 1)[0]!;

/** A mount comes after those that it lies in; otherwise as they were. */
function inOrder(mounts: readonly OciMount[]): OciMount[] {
  const depth = ({ destination }: OciMount): number =>
    destination.split("/").filter(Boolean).length;
  return [...mounts].sort((a, b) => depth(a) - depth(b));
}
