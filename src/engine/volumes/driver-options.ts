// The options of the local driver (`volume create -o`): what may be said, and what mount(2) is to
// be told of it. Pure. Grammar and wording are those of dockerd's local driver.

import { GantryError, parseRamBytes } from "../../base/index.ts";

export type DriverOptions = Readonly<Record<string, string>>;

/** What is mounted on the volume's folder when it is used. */
export interface VolumeMount {
  device: string;
  fstype: string;
  /** MS_* flags, the words that the kernel takes apart from the data. */
  flags: number;
  /** One MS_* propagation, applied after the mount. */
  propagation: number;
  data: string;
}

const KNOWN = ["type", "o", "device", "size"];
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  device: ["type"],
  type: ["device"],
  o: ["device", "type"],
};

/** Throws invalid; the caller says of which volume. */
export function checkDriverOptions(options: DriverOptions): void {
  for (const name of Object.keys(options)) {
    if (KNOWN.includes(name)) continue;
    throw new GantryError("invalid", `invalid option: ${JSON.stringify(name)}`);
  }
  for (const [name, needed] of Object.entries(NEEDS)) {
    if (!Object.hasOwn(options, name)) continue;
    for (const other of needed) {
      if (Object.hasOwn(options, other)) continue;
      throw new GantryError("invalid", `missing required option: ${JSON.stringify(other)}`);
    }
  }
  if (options["type"] !== undefined && !options["device"]) {
    throw new GantryError("invalid", 'missing required option: "device"');
  }
}

const MS_BIND = 0x1000;
const MS_REC = 0x4000;
/** word → [set, clear], as mount(8) has them. */
const FLAGS: Readonly<Record<string, readonly [set: number, clear: number]>> = {
  defaults: [0, 0],
  ro: [0x1, 0],
  rw: [0, 0x1],
  nosuid: [0x2, 0],
  suid: [0, 0x2],
  nodev: [0x4, 0],
  dev: [0, 0x4],
  noexec: [0x8, 0],
  exec: [0, 0x8],
  sync: [0x10, 0],
  async: [0, 0x10],
  remount: [0x20, 0],
  mand: [0x40, 0],
  nomand: [0, 0x40],
  dirsync: [0x80, 0],
  noatime: [0x400, 0],
  atime: [0, 0x400],
  nodiratime: [0x800, 0],
  diratime: [0, 0x800],
  bind: [MS_BIND, 0],
  rbind: [MS_BIND | MS_REC, 0],
  relatime: [0x200000, 0],
  norelatime: [0, 0x200000],
  strictatime: [0x1000000, 0],
  nostrictatime: [0, 0x1000000],
};
const PROPAGATION: Readonly<Record<string, number>> = {
  unbindable: 0x20000,
  private: 0x40000,
  slave: 0x80000,
  shared: 0x100000,
};

/** What to mount, or undefined for a plain folder. Throws invalid for what can never be mounted. */
export function volumeMount(options: DriverOptions | null): VolumeMount | undefined {
  const device = options?.["device"];
  if (!options || !device) return undefined;
  const mount: VolumeMount = {
    device,
    fstype: options["type"] ?? "",
    flags: 0,
    propagation: 0,
    data: "",
  };
  const data: string[] = [];
  for (const word of (options["o"] ?? "").split(",")) {
    if (word === "") continue;
    const flag = FLAGS[word];
    const deep = word.startsWith("r") ? PROPAGATION[word.slice(1)] : undefined;
    if (flag) mount.flags = (mount.flags & ~flag[1]) | flag[0];
    else if (PROPAGATION[word] !== undefined) mount.propagation = PROPAGATION[word];
    else if (deep !== undefined) mount.propagation = deep | MS_REC;
    else data.push(word);
  }
  // The limit of a tmpfs is its own.
  if (mount.fstype === "tmpfs" && options["size"])
    data.push(`size=${parseRamBytes(options["size"])}`);
  mount.data = data.join(",");
  return mount;
}

export const isBind = ({ flags }: VolumeMount): boolean => (flags & MS_BIND) !== 0;

/** File systems of other machines: their mounts may hang, and their sizes are nobody's here. */
export const isRemote = (options: DriverOptions | null): boolean =>
  /^(nfs4?|cifs|smb3|ceph|9p|afs)$/.test(options?.["type"] ?? "");

/** The host name that must be resolved before the kernel is asked: it knows addresses only. */
export function hostToResolve(mount: VolumeMount): string | undefined {
  if (!/^(nfs4?|cifs|smb3)$/.test(mount.fstype)) return undefined;
  const given = /(?:^|,)addr=([^,]*)/.exec(mount.data)?.[1];
  if (given !== undefined) return given || undefined;
  if (mount.fstype === "nfs" || mount.fstype === "nfs4") return undefined;
  return /^\/\/([^/:]+)/.exec(mount.device)?.[1];
}

/** The mount with the host's address in place of its name. */
export function withAddress(mount: VolumeMount, host: string, address: string): VolumeMount {
  if (/(?:^|,)addr=/.test(mount.data)) {
    const data = mount.data.replace(/(^|,)addr=[^,]*/, (_, comma: string) => {
      return `${comma}addr=${address}`;
    });
    return { ...mount, data };
  }
  if (!mount.device.startsWith(`//${host}`)) return mount;
  return { ...mount, device: `//${address}${mount.device.slice(2 + host.length)}` };
}

/** As Go's mount package tells of a failed mount: clients and people search for these words. */
export function describeMount(mount: VolumeMount, path: string): string {
  const words = [`mount ${mount.device}:${path}`];
  if (mount.flags !== 0) words.push(`flags: 0x${mount.flags.toString(16)}`);
  if (mount.data !== "") words.push(`data: ${mount.data}`);
  return hidePassword(words.join(", "));
}

const hidePassword = (text: string): string =>
  text.replace(/((?:^|[\s,])(?:password2?|pass)=)[^,\s]*/g, "$1********");
