// Speaks with the port holder (native/ports.c), the process that really binds the published ports
// and outlives the daemon.

import { formatAddress, parseAddress } from "./addresses.ts";
import type { PublishedPort } from "./contract.ts";
import {
  connectResident,
  type ResidentClient,
  type ResidentKind,
  type ResidentStart,
  startResident,
} from "./resident-client.ts";

type Protocol = PublishedPort["protocol"];

export interface HeldPort {
  key: string;
  protocol: Protocol;
  ip: string;
  port: number;
  target: { ip: string; port: number };
  /** So many in a row, bound all or none; absent: one. */
  count?: number;
  /** With ip "::": its sockets take IPv4 as well, for this target. */
  target4?: string;
}

const KIND: ResidentKind = { called: "port holder", greeting: "gantry-ports 1" };

/** Connects to the holder at `path`; undefined when none listens there. */
export async function connectPortHolder(path: string): Promise<PortHolder | undefined> {
  const client = await connectResident(KIND, path);
  return client && new PortHolder(client);
}

/** Connects to the holder, starting it first where it does not run. */
export async function startPortHolder(o: ResidentStart): Promise<PortHolder> {
  return new PortHolder(await startResident(KIND, o));
}

export class PortHolder {
  readonly #client: ResidentClient;

  constructor(client: ResidentClient) {
    this.#client = client;
  }

  get pid(): number {
    return this.#client.pid;
  }
  /** Resolves when the connection has ended, whoever ended it. */
  get closed(): Promise<void> {
    return this.#client.closed;
  }

  /** Binds and listens. Returns undefined, or the name of the errno that the kernel gave. The
   * same key and address again changes the target only. */
  async bind(port: HeldPort): Promise<string | undefined> {
    const { target, target4, count = 1 } = port;
    const more = target4 ? ` ${count} ${target4}` : count > 1 ? ` ${count}` : "";
    const where = `${port.key} ${port.protocol} ${port.ip} ${port.port}`;
    const { errno } = await this.#client.ask(`bind ${where} ${target.ip} ${target.port}${more}`);
    return errno;
  }
  /** Lets go all ports of a key, or one of them; returns how many. */
  async unbind(
    key: string,
    one?: Pick<HeldPort, "protocol" | "ip" | "port" | "count">,
  ): Promise<number> {
    const row = one?.count ? ` ${one.count}` : "";
    const tail = one ? ` ${one.protocol} ${one.ip} ${one.port}${row}` : "";
    return (await this.#client.ask(`unbind ${key}${tail}`)).count;
  }
  async list(): Promise<HeldPort[]> {
    const { items } = await this.#client.ask("list");
    return items.map(([key = "", protocol, ip = "", port, targetIp = "", targetPort]) => ({
      key,
      protocol: protocol as Protocol,
      ip: canonical(ip),
      port: Number(port),
      target: { ip: canonical(targetIp), port: Number(targetPort) },
    }));
  }
  /** Ends the holder and with it every port that it holds. */
  stop(): Promise<void> {
    return this.#client.stop();
  }
  /** Leaves; the holder goes on. */
  close(): void {
    this.#client.close();
  }
}

function canonical(ip: string): string {
  const parsed = parseAddress(ip);
  return parsed ? formatAddress(parsed.family, parsed.value) : ip;
}
