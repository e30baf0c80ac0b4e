// The types of everything in a config.json that is read (config.md, config-linux.md): checked once,
// at the edge, so that nothing inside meets a text where it expects a list. What is not named here
// is no property of the specification and left alone, as that demands; null is "not there", as
// programs written in Go write it.

import { GantryError, messageOf } from "../base/index.ts";

type Shape = "text" | "int" | "flag" | "any" | { list: Shape } | { map: Shape } | Fields;
/** Members; a name with "!" must be there. */
interface Fields {
  fields: Readonly<Record<string, Shape>>;
}

const fields = (members: Readonly<Record<string, Shape>>): Fields => ({ fields: members });
const list = (of: Shape) => ({ list: of });
const map = (of: Shape) => ({ map: of });
/** Several members of one shape. */
const each = (names: string, shape: Shape): Record<string, Shape> =>
  Object.fromEntries(names.split(" ").map((name) => [name, shape]));

const texts = list("text");
const ids = list(fields(each("containerID! hostID! size!", "int")));
const process = fields({
  terminal: "flag",
  consoleSize: fields(each("height! width!", "int")),
  user: fields({ ...each("uid gid umask", "int"), additionalGids: list("int"), username: "text" }),
  args: texts,
  env: texts,
  "cwd!": "text",
  capabilities: fields(each("bounding effective inheritable permitted ambient", texts)),
  rlimits: list(fields({ "type!": "text", ...each("hard! soft!", "int") })),
  noNewPrivileges: "flag",
  ...each("apparmorProfile selinuxLabel", "text"),
  oomScoreAdj: "int",
  scheduler: fields({
    "policy!": "text",
    flags: texts,
    ...each("nice priority runtime deadline period", "int"),
  }),
  ioPriority: fields({ "class!": "text", priority: "int" }),
  execCPUAffinity: fields(each("initial final", "text")),
});
const mount = fields({
  "destination!": "text",
  ...each("type source", "text"),
  options: texts,
  ...each("uidMappings gidMappings", ids),
});
const hooks = list(fields({ "path!": "text", ...each("args env", texts), timeout: "int" }));
const device = fields({
  ...each("path! type!", "text"),
  ...each("major minor fileMode uid gid", "int"),
});
const throttle = list(fields(each("major! minor! rate!", "int")));
const blockIo = fields({
  ...each("weight leafWeight", "int"),
  weightDevice: list(fields(each("major! minor! weight leafWeight", "int"))),
  ...each("throttleReadBpsDevice throttleWriteBpsDevice", throttle),
  ...each("throttleReadIOPSDevice throttleWriteIOPSDevice", throttle),
});
const resources = fields({
  devices: list(
    fields({ "allow!": "flag", ...each("type access", "text"), ...each("major minor", "int") }),
  ),
  memory: fields({
    ...each("limit reservation swap kernel kernelTCP swappiness", "int"),
    ...each("disableOOMKiller useHierarchy checkBeforeUpdate", "flag"),
  }),
  cpu: fields({
    ...each("shares quota burst period realtimeRuntime realtimePeriod idle", "int"),
    ...each("cpus mems", "text"),
  }),
  pids: fields({ limit: "int" }),
  blockIO: blockIo,
  hugepageLimits: list(fields({ "pageSize!": "text", "limit!": "int" })),
  network: fields({
    classID: "int",
    priorities: list(fields({ "name!": "text", "priority!": "int" })),
  }),
  rdma: map(fields(each("hcaHandles hcaObjects", "int"))),
  unified: map("text"),
});
const seccomp = fields({
  "defaultAction!": "text",
  defaultErrnoRet: "int",
  ...each("architectures flags", texts),
  ...each("listenerPath listenerMetadata", "text"),
  syscalls: list(
    fields({
      "names!": texts,
      "action!": "text",
      errnoRet: "int",
      args: list(fields({ "op!": "text", ...each("index! value! valueTwo", "int") })),
    }),
  ),
});
const linux = fields({
  namespaces: list(fields({ "type!": "text", path: "text" })),
  ...each("uidMappings gidMappings", ids),
  timeOffsets: map(fields(each("secs nanosecs", "int"))),
  devices: list(device),
  netDevices: map(fields({ name: "text" })),
  ...each("cgroupsPath rootfsPropagation mountLabel", "text"),
  resources,
  intelRdt: fields({
    ...each("closID l3CacheSchema memBwSchema", "text"),
    schemata: texts,
    enableMonitoring: "flag",
  }),
  memoryPolicy: fields({ ...each("mode! nodes", "text"), flags: texts }),
  sysctl: map("text"),
  seccomp,
  ...each("maskedPaths readonlyPaths", texts),
  personality: fields({ "domain!": "text", flags: texts }),
});
const config = fields({
  ...each("ociVersion! hostname domainname", "text"),
  process,
  root: fields({ path: "text", readonly: "flag" }),
  mounts: list(mount),
  hooks: fields(
    each("prestart createRuntime createContainer startContainer poststart poststop", hooks),
  ),
  annotations: map("text"),
  linux,
});

/** Takes what is null out of a configuration; throws invalid for what is of another type. */
export function checkConfigShape(value: unknown): void {
  inFile("config.json", () => check(value, config, ""));
}

/** The same for a process.json. */
export function checkProcessShape(value: unknown): void {
  inFile("process.json", () => check(value, process, ""));
}

/** The same for the resources that update reads from `path`. */
export function checkResourcesShape(value: unknown, path: string): void {
  inFile(path, () => check(value, resources, ""));
}

function inFile(name: string, work: () => void): void {
  try {
    work();
  } catch (cause) {
    throw new GantryError("invalid", `${name}: ${messageOf(cause)}`, { cause });
  }
}

function check(value: unknown, shape: Shape, path: string): void {
  if (shape === "any") return;
  if (typeof shape === "string") {
    if (!isPlain(value, shape)) throw wrong(path, PLAIN[shape], value);
  } else if ("list" in shape) {
    if (!Array.isArray(value)) throw wrong(path, "a list", value);
    for (const [index, item] of value.entries()) check(item, shape.list, `${path}[${index}]`);
  } else {
    checkMembers(value, shape, path);
  }
}

function checkMembers(value: unknown, shape: { map: Shape } | Fields, path: string): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(path, "an object", value);
  }
  const members = value as Record<string, unknown>;
  for (const [name, member] of Object.entries(members)) {
    const at = path === "" ? name : `${path}.${name}`;
    if (member === null && "map" in shape) members[name] = shape.map === "text" ? "" : {};
    else if (member === null) delete members[name];
    else if ("map" in shape) check(member, shape.map, at);
    else check(member, shapeOf(shape, name), at);
  }
  for (const name of "fields" in shape ? Object.keys(shape.fields) : []) {
    if (!name.endsWith("!") || Object.hasOwn(members, name.slice(0, -1))) continue;
    throw new GantryError("invalid", `${path}${path && "."}${name.slice(0, -1)} is missing`);
  }
}

function shapeOf({ fields: known }: Fields, name: string): Shape {
  const key = Object.hasOwn(known, name) ? name : `${name}!`;
  return Object.hasOwn(known, key) ? known[key]! : "any";
}

const PLAIN = { text: "a text", int: "a whole number", flag: "true or false" } as const;

function isPlain(value: unknown, shape: keyof typeof PLAIN): boolean {
  if (shape === "text") return typeof value === "string" && !value.includes("\0");
  if (shape === "flag") return typeof value === "boolean";
  return typeof value === "bigint" || Number.isInteger(value);
}

function wrong(path: string, wanted: string, value: unknown): GantryError {
  const plain = (_: string, item: unknown) => (typeof item === "bigint" ? String(item) : item);
  const shown = JSON.stringify(value, plain) ?? "nothing";
  const short = shown.length > 40 ? `${shown.slice(0, 40)}…` : shown;
  return new GantryError("invalid", `${path || "it"} must be ${wanted}, not ${short}`);
}
