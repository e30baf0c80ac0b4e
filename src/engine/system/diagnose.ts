// What is under way in this engine: who holds which lock, what is known of each container beyond
// its record. For the dump that SIGUSR1 asks for; no secret is part of it.

import { statusOf } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";

export function diagnose(engine: EngineContext): Record<string, unknown> {
  return {
    id: engine.id,
    closing: engine.closing.signal.aborted,
    locks: engine.transitions.held(),
    eventSubscribers: engine.bus.subscriberCount,
    eventsPublished: engine.bus.publishedCount,
    healthChecks: engine.probes,
    layers: engine.storage.layers.list().length,
    images: engine.storage.images.list().length,
    containers: engine.containers.all().map((c) => {
      const live = engine.live.of(c.id);
      return {
        id: c.id,
        name: c.name,
        status: statusOf(c),
        intent: c.intent,
        pid: c.run?.pid,
        monitorPid: c.run?.monitorPid,
        monitorConnected: live.monitor !== undefined,
        execs: [...live.execs.values()].map(({ id, running, pid }) => ({ id, running, pid })),
        pendingAttaches: live.pendingAttaches.size,
        stopping: live.stopping,
        restartDelayMs: live.restartTimer === undefined ? undefined : live.restartDelayMs,
        health: c.health?.status,
        restartCount: c.restartCount,
        error: c.error || undefined,
      };
    }),
  };
}
