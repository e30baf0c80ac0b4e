// --progress=rawjson: what the daemon tells, a JSON object a line, with buildx' names of fields.

import type { Output } from "../../../io.ts";
import type { Display } from "./display.ts";
import type { Status } from "./status.ts";
import { Trace } from "./trace.ts";

export class RawJsonDisplay implements Display {
  readonly trace = new Trace();
  readonly #out: Output;

  constructor(out: Output) {
    this.#out = out;
  }

  update(status: Status): void {
    this.trace.update(status);
    this.#out.write(`${JSON.stringify(rawJson(status))}\n`);
  }

  finish(): void {}
}

/** Absent lists and times are left out, as Go's omitempty does. */
export function rawJson(status: Status): object {
  const { vertexes, statuses, logs, warnings } = status;
  return {
    ...(vertexes.length === 0
      ? {}
      : {
          vertexes: vertexes.map(({ digest, inputs, name, cached, error, started, completed }) => ({
            digest,
            ...(inputs.length === 0 ? {} : { inputs }),
            ...(name === "" ? {} : { name }),
            ...time("started", started),
            ...time("completed", completed),
            ...(cached ? { cached } : {}),
            ...(error === "" ? {} : { error }),
          })),
        }),
    ...(statuses.length === 0
      ? {}
      : {
          statuses: statuses.map((one) => ({
            id: one.id,
            vertex: one.vertex,
            ...(one.name === "" ? {} : { name: one.name }),
            ...(one.total === 0 ? {} : { total: one.total }),
            current: one.current,
            timestamp: timeText(one.timestamp),
            ...time("started", one.started),
            ...time("completed", one.completed),
          })),
        }),
    ...(logs.length === 0
      ? {}
      : {
          logs: logs.map(({ vertex, stream, data, timestamp }) => ({
            vertex,
            stream,
            data: Buffer.from(data).toString("base64"),
            timestamp: timeText(timestamp),
          })),
        }),
    ...(warnings.length === 0 ? {} : { warnings: warnings.map(warningJson) }),
  };
}

function warningJson({ vertex, level, short, detail, url, source }: Status["warnings"][number]) {
  return {
    vertex,
    level,
    short: base64(short),
    ...(detail.length === 0 ? {} : { detail: detail.map(base64) }),
    ...(url === "" ? {} : { url }),
    ...(source === undefined
      ? {}
      : {
          sourceInfo: { filename: source.fileName, data: base64(source.text) },
          range: source.ranges.map(({ start, end }) => ({
            start: { line: start },
            end: { line: end },
          })),
        }),
  };
}

function time(name: string, value: number | undefined): object {
  return value === undefined ? {} : { [name]: timeText(value) };
}

function timeText(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
