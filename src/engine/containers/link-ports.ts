// Where containers of the default bridge may not talk to one another (--icc=false), a link opens
// the ports that the linked container exposes, to the linking one alone. The way follows that
// container: closed when it leaves the bridge, opened to its new address when it comes back.
// What one endpoint may reach is changed by one at a time, from what is then true, and not once
// the endpoint is on its way out: a rule that is left behind opens a stranger, who has the address
// next, to another.

import { KeyedMutex } from "../../base/index.ts";
import type { AttachmentRecord, Reach } from "../../network/index.ts";
import type { EngineContext } from "../context.ts";
import { bridgeAddress, DEFAULT_NETWORK, removeLink } from "./links.ts";
import { parsePort } from "./publish-requests.ts";
import type { ContainerRecord } from "./record.ts";

/** By the id of the linking container. */
const turns = new KeyedMutex();

/** Its record has them only when it has started, and until it has ended. */
const attachmentsNow = (
  engine: EngineContext,
  c: ContainerRecord | undefined,
): readonly AttachmentRecord[] | undefined =>
  c && (engine.live.peek(c.id)?.attachments ?? c.run?.attachments);

export function linkedPorts(engine: EngineContext, c: ContainerRecord): Reach[] {
  if (!(DEFAULT_NETWORK in c.endpoints)) return [];
  return (c.links ?? []).flatMap(({ id }) => {
    const target = engine.containers.get(id);
    const address = bridgeAddress(engine, attachmentsNow(engine, target));
    if (!target || address === undefined) return [];
    const ports = Object.keys(target.config.ExposedPorts ?? {}).map(parsePort);
    return ports.map(({ number, protocol }) => ({ address, protocol, port: number }));
  });
}

/** `records`: what a container has from now on. Those that link to it follow. When it resolves,
 * what it may reach itself is not changed any more unless it keeps its place on the bridge. */
export async function openLinkedPorts(
  engine: EngineContext,
  c: ContainerRecord,
  records: readonly AttachmentRecord[],
): Promise<void> {
  if (engine.containers.get(c.id) !== c) return; // a step of a build: nobody links to it
  engine.live.of(c.id).attachments = records;
  for (const other of engine.containers.all()) {
    if (other.links?.some(({ id }) => id === c.id)) await followLinks(engine, other);
  }
  if (c.links?.length) await followLinks(engine, c);
}

/** Makes what a container that runs may reach what its links say now. */
export function followLinks(engine: EngineContext, c: ContainerRecord): Promise<void> {
  return turns.run(c.id, async () => {
    const has = c.run && attachmentsNow(engine, c);
    const own = has?.find((one) => bridgeAddress(engine, [one]) !== undefined);
    if (!own) return;
    try {
      await engine.network.reach(own, linkedPorts(engine, c));
      engine.containers.putFact(c);
    } catch (error) {
      engine.log.warn("Failed to change what a link opens", { id: c.id, error });
    }
  });
}

/** rm --link. Throws not-found. */
export async function unlink(engine: EngineContext, ref: string): Promise<void> {
  await followLinks(engine, removeLink(engine, ref));
}
