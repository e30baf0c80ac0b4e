// What a build tells of itself, as plain values: times are milliseconds since the epoch, with a
// fraction. The names are BuildKit's.

import type { timestampMs } from "@bufbuild/protobuf/wkt";
import type { control, ops } from "../../../../gen/buildkit/index.ts";

export interface Vertex {
  digest: string;
  inputs: readonly string[];
  name: string;
  cached: boolean;
  started?: number | undefined;
  completed?: number | undefined;
  error: string;
  /** --explain: why it ran, or how it was found. */
  because?: string | undefined;
}
export interface VertexStatus {
  id: string;
  vertex: string;
  name: string;
  current: number;
  total: number;
  timestamp: number;
  started?: number | undefined;
  completed?: number | undefined;
}
export interface VertexLog {
  vertex: string;
  stream: number;
  data: Uint8Array;
  timestamp: number;
}
export interface SourceLines {
  fileName: string;
  text: string;
  ranges: readonly { start: number; end: number }[];
}
export interface VertexWarning {
  vertex: string;
  level: number;
  short: string;
  detail: readonly string[];
  url: string;
  source?: SourceLines | undefined;
}
export interface Status {
  vertexes: readonly Vertex[];
  statuses: readonly VertexStatus[];
  logs: readonly VertexLog[];
  warnings: readonly VertexWarning[];
}

type Time = Parameters<typeof timestampMs>[0] | undefined;
const at = (time: Time): number | undefined =>
  time === undefined ? undefined : Number(time.seconds) * 1000 + time.nanos / 1e6;

export function statusOf(response: control.StatusResponse): Status {
  return {
    vertexes: response.vertexes.map((one) => ({
      ...{ digest: one.digest, inputs: one.inputs, name: one.name },
      ...{ cached: one.cached, error: one.error },
      started: at(one.started),
      completed: at(one.completed),
      // The daemon puts its reasons where clients that do not know them show nothing.
      because: one.progressGroup?.weak ? one.progressGroup.name : undefined,
    })),
    statuses: response.statuses.map((one) => ({
      ...{ id: one.id, vertex: one.vertex, name: one.name },
      current: Number(one.current),
      total: Number(one.total),
      timestamp: at(one.timestamp) ?? 0,
      started: at(one.started),
      completed: at(one.completed),
    })),
    logs: response.logs.map(({ vertex, stream, msg, timestamp }) => ({
      vertex,
      stream: Number(stream),
      data: msg,
      timestamp: at(timestamp) ?? 0,
    })),
    warnings: response.warnings.map((one) => ({
      vertex: one.vertex,
      level: Number(one.level),
      short: text(one.short),
      detail: one.detail.map(text),
      url: one.url,
      source: one.info && sourceOf(one.info, one.ranges),
    })),
  };
}

export function sourceOf(info: ops.SourceInfo, ranges: readonly ops.Range[]): SourceLines {
  return {
    fileName: info.filename,
    text: text(info.data),
    ranges: ranges.map(({ start, end }) => ({
      start: start?.line ?? 0,
      end: end?.line ?? start?.line ?? 0,
    })),
  };
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("utf8");
}
