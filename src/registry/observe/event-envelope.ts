// Events in the shape of docker's registry notifications, so that what listens to those listens to
// us: {"events": [{id, timestamp, action, target, request, actor, source}]}.

import { hostname } from "node:os";
import type { RegistryEvent } from "../contract.ts";

export const envelopeMediaType = "application/vnd.docker.distribution.events.v1+json";

export interface EventSource {
  addr: string;
  instanceID: string;
}

export function eventSource(name: string = hostname()): EventSource {
  return { addr: name, instanceID: crypto.randomUUID() };
}

/** One event as docker's registry would send it. */
export function envelopeEvent(event: RegistryEvent, source: EventSource): Record<string, unknown> {
  const { target, request } = event;
  return {
    id: event.id,
    timestamp: event.at.toISOString(),
    action: event.action,
    target: {
      mediaType: target.mediaType,
      size: target.size,
      length: target.size,
      digest: target.digest,
      repository: event.repository,
      ...(target.from !== undefined && { fromRepository: target.from }),
      url: targetUrl(event),
      ...(target.tag !== undefined && { tag: target.tag }),
    },
    request: {
      id: request.id,
      addr: request.remoteAddress,
      host: request.url.host,
      method: request.method,
      useragent: request.userAgent,
    },
    actor: event.subject === "" ? {} : { name: event.subject },
    source,
  };
}

function targetUrl({ repository, target, request }: RegistryEvent): string {
  const kind = /manifest|index|image\.list/.test(target.mediaType) ? "manifests" : "blobs";
  return new URL(`/v2/${repository}/${kind}/${target.digest}`, request.url).href;
}
