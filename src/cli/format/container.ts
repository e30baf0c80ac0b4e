// The columns of `ps`.

import { humanSize } from "../../base/index.ts";
import type { Style } from "./style.ts";
import type { RowType } from "./table.ts";
import { ago, ellipsis, goTime, joinPairs, shortId } from "./text.ts";

export interface PortSummary {
  IP?: string;
  PrivatePort: number;
  PublicPort?: number;
  Type: string;
}
export interface ContainerSummary {
  Id: string;
  Names: string[] | null;
  Image: string;
  ImageID: string;
  Command: string;
  Created: number;
  Ports: PortSummary[] | null;
  Labels: Record<string, string> | null;
  State: string;
  Status: string;
  /** Gantry's own, where an exit code says too little. */
  Reason?: string;
  SizeRw?: number;
  SizeRootFs?: number;
  ImageManifestDescriptor?: { platform?: { architecture: string; os: string; variant?: string } };
  HostConfig?: { NetworkMode?: string };
  NetworkSettings?: { Networks?: Record<string, unknown> | null };
  Mounts?: { Type: string; Name?: string; Source: string; Driver?: string }[] | null;
}

export const CONTAINER_TABLE =
  "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Ports}}\\t{{.Names}}";

const IMAGE_ID_TEXT = /^(?:sha256:)?[0-9a-f]{64}$/;
const COMMAND_COLUMNS = 20;
const MOUNT_COLUMNS = 15;

/** `truncate: false` is --no-trunc. */
export function containerRow(truncate: boolean): RowType<ContainerSummary> {
  const column = (header: string, value: (row: ContainerSummary) => unknown) => ({ header, value });
  const long = (header: string, value: (row: ContainerSummary) => unknown) => ({
    ...column(header, value),
    cut: true,
  });
  return {
    goType: "*formatter.ContainerContext",
    whole: !truncate,
    columns: {
      ID: column("CONTAINER ID", (row) => (truncate ? shortId(row.Id) : row.Id)),
      Names: long("NAMES", (row) => names(row, truncate)),
      Image: long("IMAGE", (row) => image(row, truncate)),
      Command: column("COMMAND", (row) =>
        JSON.stringify(truncate ? ellipsis(row.Command, COMMAND_COLUMNS) : row.Command),
      ),
      CreatedAt: column("CREATED AT", (row) => goTime(row.Created)),
      RunningFor: column("CREATED", (row) => ago(row.Created)),
      Ports: long("PORTS", (row) => displayPorts(row.Ports ?? [])),
      State: { ...column("STATE", (row) => row.State), style: stateStyle },
      Status: { ...column("STATUS", statusText), style: stateStyle },
      Size: column("SIZE", (row) => size(row)),
      Labels: long("LABELS", (row) => joinPairs(row.Labels)),
      Mounts: long("MOUNTS", (row) => mounts(row, truncate).join(",")),
      LocalVolumes: column("LOCAL VOLUMES", (row) =>
        String((row.Mounts ?? []).filter((mount) => mount.Driver === "local").length),
      ),
      Networks: long("NETWORKS", (row) =>
        Object.keys(row.NetworkSettings?.Networks ?? {}).join(","),
      ),
      Platform: column("PLATFORM", (row) => row.ImageManifestDescriptor?.platform),
    },
    methods: { Label: (row, key) => row.Labels?.[key] ?? "" },
  };
}

const statusText = ({ Status, Reason }: ContainerSummary): string =>
  Reason ? `${Status}: ${Reason}` : Status;

/** Green runs and is well, red needs attention, yellow is on its way. */
export function stateStyle({ State, Status }: ContainerSummary): Style | undefined {
  if (Status.includes("(unhealthy)") || State === "dead") return "red";
  if (State === "exited") return /^Exited \(0\)/.test(Status) ? "dim" : "red";
  if (["restarting", "paused", "removing"].includes(State)) return "yellow";
  if (Status.includes("health: starting")) return "yellow";
  return State === "running" ? "green" : "dim";
}

function names(row: ContainerSummary, truncate: boolean): string {
  const all = (row.Names ?? []).map((name) => name.replace(/^\//, ""));
  if (!truncate) return all.join(",");
  // Names with another slash are aliases that links made.
  return all.find((name) => !name.includes("/")) ?? all[0] ?? "";
}

function image(row: ContainerSummary, truncate: boolean): string {
  if (row.Image === "") return "<no image>";
  if (!truncate) return row.Image;
  const text = row.Image;
  if (shortId(row.ImageID) === shortId(text) && IMAGE_ID_TEXT.test(text)) return shortId(text);
  return text.replace(/@sha256:[0-9a-f]{64}$/, "");
}

function size(row: ContainerSummary): string {
  const own = humanSize(row.SizeRw ?? 0, 3);
  return (row.SizeRootFs ?? 0) > 0 ? `${own} (virtual ${humanSize(row.SizeRootFs!, 3)})` : own;
}

function mounts(row: ContainerSummary, truncate: boolean): string[] {
  return (row.Mounts ?? []).map((mount) => {
    const name = mount.Name || mount.Source;
    return truncate ? ellipsis(name, MOUNT_COLUMNS) : name;
  });
}

interface PortGroup {
  first: number;
  last: number;
}

/** "0.0.0.0:8080->80/tcp, 53/udp": neighbours are shown as a range, in docker's order. */
export function displayPorts(ports: readonly PortSummary[]): string {
  const groups = new Map<string, PortGroup>();
  const result: string[] = [];
  const mapped: string[] = [];
  const keys: string[] = [];
  for (const port of [...ports].sort(comparePorts)) {
    const current = port.PrivatePort;
    let key = port.Type;
    if (port.IP) {
      if (port.PublicPort !== current) {
        const address = `${showAddress(port.IP)}:${port.PublicPort ?? 0}`;
        mapped.push(`${address}->${port.PrivatePort}/${port.Type}`);
        continue;
      }
      key = `${port.IP}/${port.Type}`;
    }
    const group = groups.get(key);
    if (!group) {
      groups.set(key, { first: current, last: current });
      keys.push(key);
    } else if (current === group.last + 1) group.last = current;
    else {
      result.push(showGroup(key, group));
      groups.set(key, { first: current, last: current });
    }
  }
  for (const key of keys) result.push(showGroup(key, groups.get(key)!));
  return [...result, ...mapped].join(", ");
}

function showAddress(ip: string): string {
  return ip.includes(":") ? `[${ip}]` : ip;
}

function showGroup(key: string, { first, last }: PortGroup): string {
  const slash = key.lastIndexOf("/");
  const ip = slash < 0 ? "" : key.slice(0, slash);
  const type = slash < 0 ? key : key.slice(slash + 1);
  const range = first === last ? String(first) : `${first}-${last}`;
  return ip === "" ? `${range}/${type}` : `${showAddress(ip)}:${range}->${range}/${type}`;
}

function comparePorts(a: PortSummary, b: PortSummary): number {
  if (a.PrivatePort !== b.PrivatePort) return a.PrivatePort - b.PrivatePort;
  if ((a.IP ?? "") !== (b.IP ?? "")) return (a.IP ?? "") < (b.IP ?? "") ? -1 : 1;
  if ((a.PublicPort ?? 0) !== (b.PublicPort ?? 0)) return (a.PublicPort ?? 0) - (b.PublicPort ?? 0);
  return a.Type < b.Type ? -1 : 1;
}
