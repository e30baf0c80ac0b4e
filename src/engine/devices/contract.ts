// What CDI (Container Device Interface 0.3 to 1.0) specs say, parsed: devices by their qualified
// name "vendor.com/class=name", and what a container that gets them is changed by.

import type { OciDevice, OciDeviceRule, OciHook, OciMount, OciSpec } from "../../spec/index.ts";

export type HookPoint = keyof NonNullable<OciSpec["hooks"]>;

/** A program that is run at a point of the container's life. */
export interface SpecHook {
  point: HookPoint;
  hook: OciHook;
}

/** What one device, or a whole spec, does to a container; still as the spec has it. */
export interface SpecEdits {
  env: string[];
  deviceNodes: SpecDeviceNode[];
  mounts: OciMount[];
  additionalGids: number[];
  hooks: SpecHook[];
  /** It asks for Intel RDT. */
  intelRdt: boolean;
}
export interface SpecDeviceNode {
  path: string;
  hostPath?: string;
  type?: string;
  major?: number;
  minor?: number;
  fileMode?: number;
  permissions?: string;
  uid?: number;
  gid?: number;
}
export interface DeviceSpec {
  /** "vendor.com/class". */
  kind: string;
  edits: SpecEdits;
  devices: { name: string; edits: SpecEdits }[];
}

/** Edits with everything known that the host must be asked for. */
export interface DeviceEdits {
  env: readonly string[];
  devices: readonly OciDevice[];
  rules: readonly OciDeviceRule[];
  mounts: readonly OciMount[];
  additionalGids: readonly number[];
  hooks: readonly SpecHook[];
}
