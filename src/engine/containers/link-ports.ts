// Where containers of the default bridge may not talk to one another (--icc=false), a link opens
// the ports that the linked container exposes, to the linking one alone. The way follows that
// container: closed when it ends, opened to its new address when it starts again.

import type { AttachmentRecord, Reach } from "../../network/index.ts";
import type { EngineContext } from "../context.ts";
import { bridgeAddress, DEFAULT_NETWORK, removeLink } from "./links.ts";
import { parsePort } from "./publish-requests.ts";
import type { ContainerRecord } from "./record.ts";

/** `now`: a container whose address is not on record, or no more. */
export function linkedPorts(
  engine: EngineContext,
  c: ContainerRecord,
  now?: { id: string; address: string | undefined },
): Reach[] {
  if (!(DEFAULT_NETWORK in c.endpoints)) return [];
  return (c.links ?? []).flatMap(({ id }) => {
    const target = engine.containers.get(id);
    const address = id === now?.id ? now.address : bridgeAddress(engine, target?.run?.attachments);
    if (!target || address === undefined) return [];
    const ports = Object.keys(target.config.ExposedPorts ?? {}).map(parsePort);
    return ports.map(({ number, protocol }) => ({ address, protocol, port: number }));
  });
}

/** For those that link to a container which has started or ended; `records`: what it has now. */
export async function openLinkedPorts(
  engine: EngineContext,
  c: ContainerRecord,
  records: readonly AttachmentRecord[],
): Promise<void> {
  const address = bridgeAddress(engine, records);
  for (const other of engine.containers.all()) {
    if (!other.run || !other.links?.some(({ id }) => id === c.id)) continue;
    await reach(engine, other, linkedPorts(engine, other, { id: c.id, address }));
  }
}

async function reach(engine: EngineContext, c: ContainerRecord, ports: Reach[]): Promise<void> {
  const own = c.run?.attachments.find((one) => bridgeAddress(engine, [one]) !== undefined);
  if (!own) return;
  try {
    await engine.network.reach(own, ports);
    engine.containers.putFact(c);
  } catch (error) {
    engine.log.warn("Failed to change what a link opens", { id: c.id, error });
  }
}

/** rm --link. Throws not-found. */
export async function unlink(engine: EngineContext, ref: string): Promise<void> {
  const c = removeLink(engine, ref);
  await reach(engine, c, linkedPorts(engine, c));
}
