// What the daemon leaves out of its JSON because it is empty, but templates may ask for: docker's
// client decodes answers into structs, whose missing fields are zero values. These tables give
// templates the same view: {{.State.Health}} prints <nil>, {{.HostConfig.Annotations}} map[].

import { isMap, showValue, TemplateObject, TypedNil } from "../../template/index.ts";

/** A struct's fields in order: a zero value, or the shape of a nested struct. */
type Zero = string | number | boolean | TypedNil | null;
interface Shape {
  goType: string;
  fields: Record<string, Zero | Shape | [Shape]>;
}

const nilPointer = (goType: string) => new TypedNil("pointer", goType);
const nilMap = new TypedNil("map", "map[string]string");
const nilSlice = new TypedNil("slice", "[]string");

/** An object with the fields of its shape, then whatever else the daemon sent. */
class Struct extends TemplateObject {
  readonly goType: string;
  #shape: Shape;
  #data: Record<string, unknown>;
  constructor(shape: Shape, data: Record<string, unknown>) {
    super();
    this.goType = shape.goType;
    this.#shape = shape;
    this.#data = data;
  }
  has(name: string): boolean {
    return Object.hasOwn(this.#shape.fields, name) || Object.hasOwn(this.#data, name);
  }
  member(name: string): unknown {
    return shaped(this.#shape.fields[name], this.#data[name]);
  }
  show(): string {
    const names = new Set([...Object.keys(this.#data), ...Object.keys(this.#shape.fields)]);
    return `{${[...names].map((name) => showValue(this.member(name))).join(" ")}}`;
  }
  toJSON(): unknown {
    return this.#data;
  }
}

function isShape(field: unknown): field is Shape {
  return typeof field === "object" && field !== null && "fields" in field;
}

function shaped(field: Zero | Shape | [Shape] | undefined, value: unknown): unknown {
  if (Array.isArray(field)) {
    return Array.isArray(value) ? value.map((item) => shaped(field[0], item)) : nilSlice;
  }
  if (isShape(field)) {
    return isMap(value)
      ? new Struct(field, value as Record<string, unknown>)
      : nilPointer(`*${field.goType}`);
  }
  if (value === undefined || value === null) return field ?? value;
  return value;
}

const health: Shape = {
  goType: "container.Health",
  fields: { Status: "", FailingStreak: 0, Log: nilSlice },
};
const state: Shape = { goType: "container.State", fields: { Health: health } };
const hostConfig: Shape = {
  goType: "container.HostConfig",
  fields: {
    Binds: nilSlice,
    Annotations: nilMap,
    Mounts: nilSlice,
    Tmpfs: nilMap,
    Sysctls: nilMap,
    StorageOpt: nilMap,
    Init: nilPointer("*bool"),
    MemorySwappiness: nilPointer("*int64"),
    PidsLimit: nilPointer("*int64"),
    OomKillDisable: nilPointer("*bool"),
    Runtime: "",
    CapAdd: nilSlice,
    CapDrop: nilSlice,
    Dns: nilSlice,
    ExtraHosts: nilSlice,
    GroupAdd: nilSlice,
    Links: nilSlice,
    SecurityOpt: nilSlice,
    VolumesFrom: nilSlice,
    DeviceCgroupRules: nilSlice,
    DeviceRequests: nilSlice,
    PortBindings: nilMap,
  },
};
const config: Shape = {
  goType: "container.Config",
  fields: {
    Healthcheck: nilPointer("*v1.HealthcheckConfig"),
    ExposedPorts: nilMap,
    Env: nilSlice,
    Cmd: nilSlice,
    ArgsEscaped: false,
    Volumes: nilMap,
    Entrypoint: nilSlice,
    NetworkDisabled: false,
    MacAddress: "",
    OnBuild: nilSlice,
    Labels: nilMap,
    StopSignal: "",
    StopTimeout: nilPointer("*int"),
    Shell: nilSlice,
    User: "",
  },
};
const containerShape: Shape = {
  goType: "container.InspectResponse",
  fields: {
    State: state,
    HostConfig: hostConfig,
    Config: config,
    ExecIDs: nilSlice,
    SizeRw: nilPointer("*int64"),
    SizeRootFs: nilPointer("*int64"),
  },
};
const imageShape: Shape = {
  goType: "image.InspectResponse",
  fields: { RepoTags: nilSlice, RepoDigests: nilSlice, Variant: "", OsVersion: "", Config: config },
};
const clientVersion: Shape = { goType: "system.clientVersion", fields: {} };
const versionShape: Shape = {
  goType: "system.versionInfo",
  fields: {
    Client: clientVersion,
    Server: { goType: "*types.Version", fields: { Experimental: false } },
  },
};

const view = (shape: Shape) => (data: unknown) => shaped(shape, data);
/** Views of answers as docker's structs. */
export const STRUCTS = {
  container: view(containerShape),
  image: view(imageShape),
  version: view(versionShape),
  info: view({ goType: "system.dockerInfo", fields: { Warnings: nilSlice, Labels: nilSlice } }),
};
