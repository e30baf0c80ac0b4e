// Attach: a client's standard streams joined to a container's, before it starts or while it runs.

import type { Duplex } from "node:stream";
import { GantryError, messageOf } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { AttachOptions, AttachStream } from "../contract.ts";
import { readLogs } from "../logs/index.ts";
import { announce } from "./announce.ts";
import { AttachPipe } from "./attach-pipe.ts";
import { DETACH_KEYS_DEFAULT, DetachFilter, parseDetachKeys } from "./detach-keys.ts";
import type { LiveContainer, PendingAttach } from "./live.ts";
import { type ContainerRecord, isPaused, isRestarting, isRunning } from "./record.ts";

export async function attachContainer(
  engine: EngineContext,
  ref: string,
  o: AttachOptions,
): Promise<AttachStream> {
  const c = engine.containers.find(ref);
  const keys = parseDetachKeys(o.detachKeys || DETACH_KEYS_DEFAULT);
  if (isPaused(c)) {
    throw new GantryError(
      "conflict",
      `container ${c.id} is paused, unpause the container before attach`,
    );
  }
  if (isRestarting(c)) {
    throw new GantryError(
      "conflict",
      `container ${c.id} is restarting, wait until the container is running`,
    );
  }
  const tty = c.config.Tty === true;
  const pipe = new AttachPipe(tty && o.stdin ? new DetachFilter(keys) : undefined, () =>
    announce(engine, c, "detach"),
  );
  pipe.on("error", () => {});
  // In the background, at the reader's pace; the live stream waits for it.
  const replayed = o.logs ? replayLogs(engine, c, o, pipe) : undefined;
  if (o.stream) await joinStream(engine, c, o, { pipe, replayed });
  else void (replayed ?? Promise.resolve()).then(() => pipe.finish());
  announce(engine, c, "attach");
  return { tty, stream: pipe };
}

async function joinStream(
  engine: EngineContext,
  c: ContainerRecord,
  o: AttachOptions,
  { pipe, replayed }: { pipe: AttachPipe; replayed: Promise<void> | undefined },
): Promise<void> {
  const live = engine.live.of(c.id);
  const connect = (inner: Duplex): void => {
    live.followOutput(pipe.drained);
    if (replayed) void replayed.then(() => pipe.connect(inner));
    else pipe.connect(inner);
  };
  const stdin = o.stdin && c.config.OpenStdin === true;
  const streams = { stdin, stdout: o.stdout, stderr: o.stderr };
  if (isRunning(c) && live.monitor) {
    connect(await live.monitor.attach("", streams));
    return;
  }
  const pending: PendingAttach = {
    streams,
    connect,
    fail: () => pipe.finish(),
  };
  live.pendingAttaches.add(pending);
  pipe.once("close", () => live.pendingAttaches.delete(pending));
}

/** Joins everyone who attached before the start. Output has not begun to flow: see holdMs. */
export async function connectPending(c: ContainerRecord, live: LiveContainer): Promise<void> {
  const pending = [...live.pendingAttaches];
  live.pendingAttaches.clear();
  const monitor = live.monitor;
  if (!monitor) return;
  await Promise.all(
    pending.map(async (attach) => {
      try {
        attach.connect(await monitor.attach("", attach.streams));
      } catch (cause) {
        attach.fail();
        throw new GantryError("internal", `Failed to attach to ${c.id}: ${messageOf(cause)}`, {
          cause,
        });
      }
    }),
  );
}

async function replayLogs(
  engine: EngineContext,
  c: ContainerRecord,
  o: AttachOptions,
  pipe: AttachPipe,
): Promise<void> {
  if (c.hostConfig.LogConfig?.Type === "none") return;
  const logs = readLogs(engine, c, {
    follow: false,
    stdout: o.stdout,
    stderr: o.stderr,
    timestamps: false,
    tail: "all",
    details: false,
    ...(o.signal && { signal: o.signal }),
  });
  try {
    for await (const chunk of logs) {
      if (pipe.destroyed) return;
      if (!pipe.prepend(chunk)) await pipe.wanted();
    }
  } catch (error) {
    engine.log.warn("Failed to replay logs to a client", { id: c.id, error });
  }
}
