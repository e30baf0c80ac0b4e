// Which host ports belong to which endpoint. A port is claimed by binding it for real in the port
// holder, so the kernel decides who has it; this table only knows the names for error messages,
// which are dockerd's, with the owner added where it is known.

import { GantryError } from "../base/index.ts";
import type { AttachmentRecord, PublishedPort, PublishRequest } from "./contract.ts";
import { candidates } from "./port-candidates.ts";
import type { HeldPort, PortHolder } from "./port-holder.ts";
import { portOwner } from "./port-owner.ts";

/** What claiming needs of the port holder. */
export type Binder = Pick<PortHolder, "bind" | "unbind">;

/** The endpoint for which ports are claimed. */
export interface Claimant {
  endpointId: string;
  /** Name or id, for people. */
  container: string;
  ipv4?: string | undefined;
  ipv6?: string | undefined;
}

export interface ClaimRules {
  /** For requests without a host address: one address, or "" for every one of both families. */
  defaultHostIp: string;
  ipv6: boolean;
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

export class PortClaims {
  readonly #owners = new Map<string, { endpointId: string; container: string; ip: string }[]>();
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
      requests.map((request) => this.#claimOne(holder, claimant, request)),
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
    await Promise.all(
      ports.map(({ protocol, hostIp, hostPort }) =>
        holder.unbind(endpointId, { protocol, ip: hostIp, port: hostPort }),
      ),
    );
  }

  /** The name for error messages only: the port stays bound. */
  forget(endpointId: string, { protocol, hostPort, hostIp }: PublishedPort): void {
    const key = `${protocol} ${hostPort}`;
    const left = (this.#owners.get(key) ?? []).filter(
      (owner) => owner.endpointId !== endpointId || owner.ip !== hostIp,
    );
    if (left.length === 0) this.#owners.delete(key);
    else this.#owners.set(key, left);
  }

  /** Takes note of ports that a live endpoint has from an earlier life of the daemon. */
  adopt(record: AttachmentRecord): void {
    for (const { protocol, hostIp, hostPort } of record.ports) {
      this.forget(record.endpointId, { protocol, hostIp, hostPort, containerPort: 0 });
      this.#note(protocol, hostIp, hostPort, {
        endpointId: record.endpointId,
        container: record.endpointId.slice(0, 12),
      });
    }
  }

  release(endpointId: string): void {
    for (const [key, owners] of this.#owners) {
      const left = owners.filter((owner) => owner.endpointId !== endpointId);
      if (left.length === 0) this.#owners.delete(key);
      else if (left.length < owners.length) this.#owners.set(key, left);
    }
  }

  async #claimOne(
    holder: Binder,
    claimant: Claimant,
    request: PublishRequest,
  ): Promise<PublishedPort[]> {
    let refusal: Refusal | undefined;
    for (const port of candidates(request, this.#rules.range, () => this.#advance())) {
      const answer = await this.#bindAll(holder, claimant, request, port);
      if (Array.isArray(answer)) {
        for (const published of answer) {
          this.#note(published.protocol, published.hostIp, published.hostPort, claimant);
        }
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
  ): Promise<PublishedPort[] | Refusal> {
    const done: HeldPort[] = [];
    let refusal: Refusal | undefined;
    const wanted = this.#addresses(request).map((ip) => held(claimant, request, ip, port));
    const answers = await Promise.all(wanted.map((one) => holder.bind(one)));
    answers.forEach((errno, index) => {
      const one = wanted[index]!;
      if (errno === undefined) done.push(one);
      else if (!(request.hostIp === "" && one.ip === "::" && NO_IPV6.has(errno))) {
        refusal ??= { ip: one.ip, port, errno };
      }
    });
    if (!refusal) {
      return done.map(({ ip }) => ({
        containerPort: request.containerPort,
        protocol: request.protocol,
        hostIp: ip,
        hostPort: port,
      }));
    }
    await Promise.all(done.map((one) => holder.unbind(claimant.endpointId, one)));
    return refusal;
  }

  #addresses(request: PublishRequest): string[] {
    const ip = request.hostIp || this.#rules.defaultHostIp;
    if (ip !== "") return [ip];
    return this.#rules.ipv6 ? ["0.0.0.0", "::"] : ["0.0.0.0"];
  }

  #advance(): number {
    const { first, last } = this.#rules.range;
    const port = this.#next;
    this.#next = port >= last ? first : port + 1;
    return port;
  }

  #note(
    protocol: string,
    ip: string,
    port: number,
    { endpointId, container }: { endpointId: string; container: string },
  ): void {
    const key = `${protocol} ${port}`;
    const owners = this.#owners.get(key) ?? [];
    owners.push({ endpointId, container, ip });
    this.#owners.set(key, owners);
  }

  async #conflict(
    claimant: Claimant,
    request: PublishRequest,
    refusal: Refusal,
  ): Promise<GantryError> {
    const { containerPort, protocol } = request;
    const at = `${bracketed(refusal.ip)}:${refusal.port}`;
    const ours = this.#owners.get(`${protocol} ${refusal.port}`)?.[0];
    const prefix =
      "driver failed programming external connectivity on endpoint " +
      `${claimant.container} (${claimant.endpointId}): `;
    const detail = { port: refusal.port, errno: refusal.errno };
    if (ours && refusal.errno === "EADDRINUSE") {
      return new GantryError(
        "conflict",
        `${prefix}Bind for ${at} failed: port is already allocated ` +
          `(published by container ${ours.container})`,
        { detail },
      );
    }
    const owner =
      refusal.errno === "EADDRINUSE" ? await portOwner(protocol, refusal.port) : undefined;
    const inner = claimant.ipv4 ?? claimant.ipv6 ?? "";
    return new GantryError(
      "conflict",
      `${prefix}failed to bind host port for ${at}:${bracketed(inner)}:${containerPort}/` +
        `${protocol}: ${ERRNO_TEXT[refusal.errno] ?? refusal.errno}` +
        (owner ? ` (used by ${owner})` : ""),
      { detail },
    );
  }
}

function held(claimant: Claimant, request: PublishRequest, ip: string, port: number): HeldPort {
  return heldPort(claimant, {
    containerPort: request.containerPort,
    protocol: request.protocol,
    hostIp: ip,
    hostPort: port,
  });
}

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
  };
}

const bracketed = (ip: string): string => (ip.includes(":") ? `[${ip}]` : ip);
