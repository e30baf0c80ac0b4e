// Which host ports belong to which endpoint. A port is claimed by binding it for real in the port
// holder, so the kernel decides who has it; this table only knows the names for error messages,
// which are dockerd's, with the owner added where it is known.

import { type Advice, GantryError, withAdvice } from "../base/index.ts";
import type { AttachmentRecord, PublishedPort, PublishRequest } from "./contract.ts";
import { candidates } from "./port-candidates.ts";
import type { HeldPort, PortHolder } from "./port-holder.ts";
import { portOwner } from "./port-owner.ts";
import { eachPort, type PublishRow, rowsOf } from "./port-ranges.ts";

/** What claiming needs of the port holder. */
export type Binder = Pick<PortHolder, "bind" | "unbind">;

/** The endpoint for which ports are claimed. */
export interface Claimant {
  endpointId: string;
  /** Name or id, for people. */
  container: string;
  ipv4?: string | undefined;
  ipv6?: string | undefined;
  /** Of its network: for requests without a host address; absent: the rules'. */
  defaultHostIp?: string | undefined;
  /** Families without translation: ports are open at its address, and none of the host's bound. */
  routed?: readonly (4 | 6)[] | undefined;
}

export interface ClaimRules {
  /** For requests without a host address: one address, or "" for every one of both families. */
  defaultHostIp: string;
  ipv6: boolean;
  /** IPv6 may be carried to a container that has IPv4 only. */
  crosses: boolean;
  range: { first: number; last: number };
}

/** A bind that the kernel refused. */
interface Refusal {
  ip: string;
  port: number;
  errno: string;
}

const ERRNO_TEXT: Record<string, string> = {
  EADDRINUSE: "address already in use",
  EADDRNOTAVAIL: "cannot assign requested address",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EMFILE: "too many open files",
  EPROTONOSUPPORT: "protocol not supported",
  EAFNOSUPPORT: "address family not supported by protocol",
};
const NO_IPV6 = new Set(["EAFNOSUPPORT", "EADDRNOTAVAIL"]);

interface Owner {
  endpointId: string;
  container: string;
  ip: string;
  count: number;
}

export class PortClaims {
  /** By "tcp 8080", the first of a row. */
  readonly #owners = new Map<string, Owner[]>();
  /** Endpoint → its keys there. */
  readonly #keys = new Map<string, Set<string>>();
  readonly #rules: ClaimRules;
  #next: number;

  constructor(rules: ClaimRules) {
    this.#rules = rules;
    this.#next = rules.range.first;
  }

  /** Binds what is asked for, all of it or nothing. Throws conflict. */
  async claim(
    holder: Binder,
    claimant: Claimant,
    requests: readonly PublishRequest[],
  ): Promise<PublishedPort[]> {
    const results = await Promise.allSettled(
      rowsOf(requests).map((row) => this.#claimRow(holder, claimant, row)),
    );
    const claimed = results.flatMap((result) =>
      result.status === "fulfilled" ? result.value : [],
    );
    const failed = results.find((result) => result.status === "rejected");
    if (!failed) return claimed;
    await this.giveBack(holder, claimant.endpointId, claimed);
    throw failed.reason;
  }

  /** Lets some ports of an endpoint go; it keeps the others. */
  async giveBack(
    holder: Binder,
    endpointId: string,
    ports: readonly PublishedPort[],
  ): Promise<void> {
    for (const port of ports) this.forget(endpointId, port);
    await this.unbind(holder, endpointId, ports);
  }

  /** Lets them go at the holder only. */
  async unbind(holder: Binder, endpointId: string, ports: readonly PublishedPort[]): Promise<void> {
    await Promise.all(
      ports
        .filter(({ hostPort }) => hostPort !== 0)
        .map(({ protocol, hostIp, hostPort, count }) =>
          holder.unbind(endpointId, {
            protocol,
            ip: hostIp,
            port: hostPort,
            ...(count && { count }),
          }),
        ),
    );
  }

  /** The name for error messages only: the port stays bound. */
  forget(endpointId: string, { protocol, hostPort, hostIp }: PublishedPort): void {
    this.#drop(
      `${protocol} ${hostPort}`,
      (owner) => owner.endpointId === endpointId && owner.ip === hostIp,
    );
  }

  /** Takes note of ports that a live endpoint has from an earlier life of the daemon. */
  adopt(record: AttachmentRecord): void {
    const { endpointId } = record;
    for (const port of record.ports) {
      this.forget(endpointId, port);
      this.#note(port, { endpointId, container: endpointId.slice(0, 12) });
    }
  }

  release(endpointId: string): void {
    for (const key of this.#keys.get(endpointId) ?? []) {
      this.#drop(key, (owner) => owner.endpointId === endpointId);
    }
    this.#keys.delete(endpointId);
  }

  #drop(key: string, which: (owner: Owner) => boolean): void {
    const left = (this.#owners.get(key) ?? []).filter((owner) => !which(owner));
    if (left.length === 0) this.#owners.delete(key);
    else this.#owners.set(key, left);
  }

  async #claimRow(holder: Binder, claimant: Claimant, row: PublishRow): Promise<PublishedPort[]> {
    const { request, count } = row;
    const { open, bound } = this.#addresses(claimant, request);
    const opened = open.map((hostIp) => published(request, hostIp, 0, count));
    if (bound.length === 0) return opened;
    if (count === 1)
      return [...(await this.#claimOne(holder, claimant, request, bound)), ...opened];
    const ports = bound.map((ip) => published(request, ip, request.hostPort, count));
    if (await bindRow(holder, claimant, ports)) {
      for (const port of ports) this.#note(port, claimant);
      return [...ports, ...opened];
    }
    return [...(await this.#claimEach(holder, claimant, ports)), ...opened];
  }

  /** A row that could not be bound as one: port by port, which finds out which one it is. */
  async #claimEach(
    holder: Binder,
    claimant: Claimant,
    ports: readonly PublishedPort[],
  ): Promise<PublishedPort[]> {
    const claimed: PublishedPort[] = [];
    const addresses = ports.map(({ hostIp }) => hostIp);
    for (const { containerPort, protocol, hostPort } of eachPort(ports.slice(0, 1))) {
      const any = { hostIp: "", hostPortEnd: hostPort };
      const one = { containerPort, protocol, hostPort, ...any };
      try {
        claimed.push(...(await this.#claimOne(holder, claimant, one, addresses)));
      } catch (error) {
        await this.giveBack(holder, claimant.endpointId, claimed);
        throw error;
      }
    }
    return claimed;
  }

  async #claimOne(
    holder: Binder,
    claimant: Claimant,
    request: PublishRequest,
    addresses: readonly string[],
  ): Promise<PublishedPort[]> {
    let refusal: Refusal | undefined;
    for (const port of candidates(request, this.#rules.range, () => this.#advance())) {
      const answer = await this.#bindAll(holder, claimant, request, port, addresses);
      if (Array.isArray(answer)) {
        for (const one of answer) this.#note(one, claimant);
        return answer;
      }
      refusal = answer;
      if (refusal.errno !== "EADDRINUSE") break;
    }
    throw await this.#conflict(claimant, request, refusal!);
  }

  /** Binds one port number on each of the request's addresses, or on none. */
  async #bindAll(
    holder: Binder,
    claimant: Claimant,
    request: PublishRequest,
    port: number,
    addresses: readonly string[],
  ): Promise<PublishedPort[] | Refusal> {
    const done: HeldPort[] = [];
    let refusal: Refusal | undefined;
    const wanted = addresses.map((ip) => heldPort(claimant, published(request, ip, port)));
    const answers = await Promise.all(wanted.map((one) => holder.bind(one)));
    answers.forEach((errno, index) => {
      const one = wanted[index]!;
      if (errno === undefined) done.push(one);
      else if (!(request.hostIp === "" && one.ip === "::" && NO_IPV6.has(errno))) {
        refusal ??= { ip: one.ip, port, errno };
      }
    });
    if (!refusal) {
      return done.map(({ ip }) => published(request, ip, port));
    }
    await Promise.all(done.map((one) => holder.unbind(claimant.endpointId, one)));
    return refusal;
  }

  /** Addresses of the host to bind, and families whose ports are open at the container's. */
  #addresses(claimant: Claimant, request: PublishRequest): { open: string[]; bound: string[] } {
    const { routed = [], ipv4, ipv6 } = claimant;
    const ip = request.hostIp || (claimant.defaultHostIp ?? this.#rules.defaultHostIp);
    const open: string[] = [];
    const bound: string[] = [];
    const asked = ip !== "" ? [ip] : this.#rules.ipv6 ? ["0.0.0.0", "::"] : ["0.0.0.0"];
    for (const address of asked) {
      const six = address.includes(":");
      if (routed.includes(six ? 6 : 4)) {
        if (six ? ipv6 : ipv4) open.push(six ? "::" : "0.0.0.0");
      } else if (!six || ipv6 || this.#rules.crosses || ip !== "") bound.push(address);
    }
    return { open, bound };
  }

  #advance(): number {
    const { first, last } = this.#rules.range;
    const port = this.#next;
    this.#next = port >= last ? first : port + 1;
    return port;
  }

  #note(
    { protocol, hostIp: ip, hostPort, count = 1 }: PublishedPort,
    { endpointId, container }: { endpointId: string; container: string },
  ): void {
    if (hostPort === 0) return;
    const key = `${protocol} ${hostPort}`;
    const owners = this.#owners.get(key) ?? [];
    owners.push({ endpointId, container, ip, count });
    this.#owners.set(key, owners);
    const keys = this.#keys.get(endpointId);
    if (keys) keys.add(key);
    else this.#keys.set(endpointId, new Set([key]));
  }

  /** Of ours; only asked when a bind has failed. */
  #ownerOf(protocol: string, port: number): Owner | undefined {
    const direct = this.#owners.get(`${protocol} ${port}`)?.[0];
    if (direct) return direct;
    for (const [key, owners] of this.#owners) {
      const [of, first] = key.split(" ");
      const row = owners.find(({ count }) => Number(first) <= port && port < Number(first) + count);
      if (of === protocol && row) return row;
    }
    return undefined;
  }

  async #conflict(
    claimant: Claimant,
    request: PublishRequest,
    refusal: Refusal,
  ): Promise<GantryError> {
    const { containerPort, protocol } = request;
    const at = `${bracketed(refusal.ip)}:${refusal.port}`;
    const ours = this.#ownerOf(protocol, refusal.port);
    const prefix =
      "driver failed programming external connectivity on endpoint " +
      `${claimant.container} (${claimant.endpointId}): `;
    const detail = { port: refusal.port, errno: refusal.errno };
    if (ours && refusal.errno === "EADDRINUSE") {
      const error = new GantryError(
        "conflict",
        `${prefix}Bind for ${at} failed: port is already allocated`,
        { detail },
      );
      return withAdvice(error, taken(`container ${ours.container} has published it`, refusal));
    }
    const owner =
      refusal.errno === "EADDRINUSE" ? await portOwner(protocol, refusal.port) : undefined;
    const inner = claimant.ipv4 ?? claimant.ipv6 ?? "";
    const error = new GantryError(
      "conflict",
      `${prefix}failed to bind host port for ${at}:${bracketed(inner)}:${containerPort}/` +
        `${protocol}: ${ERRNO_TEXT[refusal.errno] ?? refusal.errno}`,
      { detail },
    );
    return withAdvice(error, owner ? taken(`${owner} listens on it`, refusal) : undefined);
  }
}

const taken = (cause: string, { port }: Refusal): Advice => ({
  cause,
  remedy: [`end what holds port ${port}, or publish another one (-p ANOTHER:CONTAINER-PORT)`],
});

const published = (
  { containerPort, protocol }: PublishRequest,
  hostIp: string,
  hostPort: number,
  count = 1,
): PublishedPort => ({
  containerPort,
  protocol,
  hostIp,
  hostPort,
  ...(count > 1 && { count }),
});

/** What the holder shall do for a published port: the same family where the container has it. */
export function heldPort(
  { endpointId, ipv4, ipv6 }: Omit<Claimant, "container">,
  port: PublishedPort,
): HeldPort {
  const preferred = port.hostIp.includes(":") ? (ipv6 ?? ipv4) : (ipv4 ?? ipv6);
  return {
    key: endpointId,
    protocol: port.protocol,
    ip: port.hostIp,
    port: port.hostPort,
    target: { ip: preferred ?? "-", port: port.containerPort },
    ...(port.count && { count: port.count }),
  };
}

/** What the holder shall do for all of an endpoint's ports. A row on every address of both
 * families takes one socket a port. */
export function heldPorts(
  claimant: Omit<Claimant, "container">,
  ports: readonly PublishedPort[],
): HeldPort[] {
  const bound = ports.filter(({ hostPort }) => hostPort !== 0);
  const twin = (port: PublishedPort, hostIp: string): PublishedPort | undefined =>
    bound.find(
      (other) =>
        other.hostIp === hostIp &&
        other.protocol === port.protocol &&
        other.hostPort === port.hostPort &&
        other.containerPort === port.containerPort &&
        other.count === port.count,
    );
  return bound.flatMap((port) => {
    const held = heldPort(claimant, port);
    if (!port.count) return [held];
    if (port.hostIp === "0.0.0.0" && twin(port, "::")) return [];
    const four = port.hostIp === "::" ? twin(port, "0.0.0.0") : undefined;
    return [four ? { ...held, target4: heldPort(claimant, four).target.ip } : held];
  });
}

/** All or nothing; false where the kernel refused any. */
async function bindRow(
  holder: Binder,
  claimant: Claimant,
  ports: readonly PublishedPort[],
): Promise<boolean> {
  const rows = heldPorts(claimant, ports);
  const answers = await Promise.all(rows.map((row) => holder.bind(row)));
  if (answers.every((errno) => errno === undefined)) return true;
  await Promise.all(
    rows.map((row, index) =>
      answers[index] === undefined ? holder.unbind(row.key, row) : undefined,
    ),
  );
  return false;
}

const bracketed = (ip: string): string => (ip.includes(":") ? `[${ip}]` : ip);
