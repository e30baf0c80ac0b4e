// What a build tells, as Control.Status streams it: events are gathered while the client takes the
// last answer, so that a build of many lines is few messages.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { BuildEvent, BuildVertex, BuildWarning, VertexStatus } from "../engine/index.ts";
import type { control } from "../gen/buildkit/index.ts";
import type { ServicePlace } from "./make-job.ts";

type Answer = MessageInitShape<typeof control.StatusResponseSchema>;

const EVENTS_MAX = 1_000;
/** gRPC's clients take 4 MiB. */
const GROUP_BYTES_MAX = 1024 * 1024;

/** Ends when the build has ended, or the Solve that was to begin one. */
export async function* statusOf(
  { engine, solves }: ServicePlace,
  ref: string,
  signal: AbortSignal,
): AsyncGenerator<Answer> {
  const never = new AbortController();
  const unwatch = solves.watch(ref, ({ hasBegun }) => {
    if (!hasBegun) never.abort();
  });
  try {
    const signals = AbortSignal.any([signal, never.signal]);
    for await (const events of gathered(engine.builds.follow(ref, { signal: signals }))) {
      yield answerOf(events);
    }
  } catch (error) {
    if (!never.signal.aborted) throw error;
  } finally {
    unwatch();
  }
}

/** Events in groups: whatever has come since the last group was taken. */
async function* gathered(events: AsyncIterable<BuildEvent>): AsyncGenerator<BuildEvent[]> {
  let group: BuildEvent[] = [];
  let bytes = 0;
  let ended = false;
  let news = Promise.withResolvers<void>();
  let room = Promise.withResolvers<void>();
  const gather = async (): Promise<void> => {
    for await (const event of events) {
      group.push(event);
      bytes += sizeOf(event);
      news.resolve();
      if (group.length >= EVENTS_MAX || bytes >= GROUP_BYTES_MAX) await room.promise;
    }
  };
  const gathering = gather().finally(() => {
    ended = true;
    news.resolve();
  });
  gathering.catch(() => {});
  for (;;) {
    await news.promise;
    news = Promise.withResolvers();
    const taken = group;
    group = [];
    bytes = 0;
    room.resolve();
    room = Promise.withResolvers();
    if (taken.length > 0) yield taken;
    else if (ended) break;
    if (ended) news.resolve();
  }
  await gathering;
}

/** About what an event takes: output, and the Dockerfile that a warning carries. */
function sizeOf(event: BuildEvent): number {
  if (event.kind === "log") return event.bytes.length;
  return event.kind === "warning" ? (event.warning.source?.text.length ?? 0) : 0;
}

function answerOf(events: readonly BuildEvent[]): Answer {
  const answer = {
    vertexes: [] as ReturnType<typeof vertexOf>[],
    statuses: [] as ReturnType<typeof partOf>[],
    logs: [] as ReturnType<typeof logOf>[],
    warnings: [] as ReturnType<typeof warningOf>[],
  };
  for (const event of events) {
    if (event.kind === "vertex") answer.vertexes.push(vertexOf(event.vertex));
    else if (event.kind === "status") answer.statuses.push(partOf(event.status));
    else if (event.kind === "warning") answer.warnings.push(warningOf(event.warning));
    else answer.logs.push(logOf(event));
  }
  return answer;
}

const moment = (ms: number | undefined) => (ms === undefined ? undefined : timestampFromMs(ms));
const times = (from: { startedAtMs?: number | undefined; completedAtMs?: number | undefined }) => {
  const started = moment(from.startedAtMs);
  const completed = moment(from.completedAtMs);
  return { ...(started && { started }), ...(completed && { completed }) };
};
/** protobuf's types want an array with a buffer of its own. */
const plain = (bytes: Uint8Array) => bytes as Uint8Array<ArrayBuffer>;

function vertexOf(vertex: BuildVertex) {
  const { digest, inputs, name, cached, error = "", because } = vertex;
  // --explain: our own word for why a step ran stands in its name's group.
  const progressGroup = because ? { id: digest, name: because, weak: true } : undefined;
  return {
    ...{ digest, inputs: [...inputs], name, cached, error },
    ...times(vertex),
    ...(progressGroup && { progressGroup }),
  };
}

function logOf({ vertex, stream, bytes, atMs }: Extract<BuildEvent, { kind: "log" }>) {
  const timestamp = timestampFromMs(atMs);
  return { vertex, stream: BigInt(stream), msg: plain(bytes), timestamp };
}

function partOf(status: VertexStatus) {
  const { id, vertex, name, current, total, atMs } = status;
  return {
    ...{ id, vertex, name, current: BigInt(current), total: BigInt(total) },
    ...{ timestamp: timestampFromMs(atMs), ...times(status) },
  };
}

function warningOf({ vertex, level, short, detail, url, source }: BuildWarning) {
  const text = (value: string) => plain(Buffer.from(value));
  const place = source && {
    info: { filename: source.fileName, data: plain(source.text), language: "Dockerfile" },
    ranges: source.ranges.map(({ start, end }) => ({ start: { line: start }, end: { line: end } })),
  };
  return {
    ...{ vertex, level: BigInt(level), short: text(short), detail: detail.map(text), url },
    ...place,
  };
}
