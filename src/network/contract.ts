// What the engine may ask of the network layer. Plans are data; packets are the kernel's.

import type { Operation } from "../native/index.ts";
import type { EndpointSettings } from "../spec/index.ts";

export interface PublishRequest {
  containerPort: number;
  protocol: "tcp" | "udp" | "sctp";
  hostIp: string; // "" : all IPv4 and IPv6 addresses
  hostPort: number; // 0: any free port; first of the range
  hostPortEnd: number;
}
export interface PublishedPort {
  containerPort: number;
  protocol: "tcp" | "udp" | "sctp";
  hostIp: string; // "0.0.0.0" and "::" are two entries, as docker shows them
  /** 0: none (gateway mode routed); the port is open at the container's address. */
  hostPort: number;
  /** So many in a row, on both sides; absent: one. eachPort() tells them apart. */
  count?: number;
}

/** What attaching a container to a network made; `record` is kept by the engine as JSON and is
 * all that detach() and recovery need. */
export interface Attachment {
  record: AttachmentRecord;
  /** For the container's start plan (runtime's NetworkShare). Slots 40–59. */
  host(slots: { pid: number; netns: number }): Operation[];
  teardown(): Operation[];
}
export interface AttachmentRecord {
  networkId: string;
  endpointId: string;
  interfaceName: string; // inside: eth0
  hostInterface: string; // veth…; empty where the host has no end of it
  macAddress: string;
  ipv4?: { address: string; prefix: number; gateway: string };
  ipv6?: { address: string; prefix: number; gateway: string };
  /** Link-local addresses that were asked for. */
  linkLocal?: { address: string; prefix: number }[];
  ports: PublishedPort[];
  /** Families whose published ports the port holder carries, so that the host's rules for input
   * apply to them. */
  carried?: (4 | 6)[];
  /** Families in which published ports may be reached at the container's own address. */
  opens?: (4 | 6)[];
  /** Where containers may not talk to one another: what this one may reach of others (--link). */
  reaches?: { bridge: string; ports: Reach[] };
  /** On networks that users made: who it is to the resolver. */
  dns?: EndpointDns;
}

/** A port of a neighbour on the same bridge. */
export interface Reach {
  address: string;
  protocol: "tcp" | "udp" | "sctp";
  port: number;
}

/** A container's part in the names of one network. */
export interface EndpointDns {
  /** The key of the container's run at the resolver; the same for all its networks. */
  sandbox: string;
  names: string[]; // as they are asked for, without a last dot
  pointer: string; // what its addresses are called
  /** Whom it asks for other names: an IP, or "IP@host" for one of the host's own. Empty on
   * internal networks; a container that is on others too asks the servers of those. */
  servers: string[];
  /** Names that it alone uses (--link): alias → name on this network. */
  links?: Record<string, string>;
  /** The init, once it runs: where its network namespace can be found again. */
  pid?: number;
}

/** One thing on the way of a packet, and what to do about it. */
export interface ExplainLine {
  about: string; // "listener 80/tcp", "route", "firewall"
  verdict: "ok" | "bad" | "note";
  says: string;
  fix?: string;
}

/** POST /networks/create, Docker's field names. */
export interface CreateNetworkRequest {
  Name: string;
  Driver?: string;
  Scope?: string;
  Ingress?: boolean;
  /** Only a configuration, which other networks are made from by ConfigFrom. */
  ConfigOnly?: boolean;
  ConfigFrom?: { Network?: string } | null;
  Internal?: boolean;
  Attachable?: boolean;
  EnableIPv4?: boolean;
  EnableIPv6?: boolean;
  IPAM?: {
    Driver?: string;
    Config?:
      | {
          Subnet?: string;
          IPRange?: string;
          Gateway?: string;
          AuxiliaryAddresses?: Record<string, string> | null;
        }[]
      | null;
    Options?: Record<string, string> | null;
  } | null;
  Options?: Record<string, string> | null;
  Labels?: Record<string, string> | null;
}

export interface NetworkLayer {
  /** Makes the default bridge and the nftables table match the records; removes strays. */
  start(live: readonly AttachmentRecord[]): Promise<void>;
  /** Reserves addresses and ports, binds the ports in the holder. Everything is undone by
   * detach(record). Port conflicts throw kind conflict with docker's wording. */
  attach(o: {
    containerId: string;
    networkName: string; // "bridge" for now
    settings: EndpointSettings;
    publish: readonly PublishRequest[];
    macAddress?: string;
    /** For error messages. */
    containerName?: string;
    /** Default "eth0"; with several networks eth1 … and `position` 1 …; the first gives the
     * default route. */
    interfaceName?: string;
    position?: number;
    /** Families whose default route goes over this network; by default both at position 0. */
    gatewayOf?: readonly (4 | 6)[];
    /** Addresses of the container's run before, taken again where they are free. */
    prefer?: readonly string[];
    /** Has no meaning where neighbours may talk to one another anyway. */
    reaches?: readonly Reach[];
    dns?: EndpointDns;
    /** The first of a run's networks with names opens the namespace to the resolver. */
    opensResolver?: boolean;
  }): Promise<Attachment>;
  /** What attach() would make now. Nothing is taken, bound or made: addresses are those that are
   * free now, host ports those that were asked for (0: any). */
  preview(o: Parameters<NetworkLayer["attach"]>[0]): Attachment;
  detach(record: AttachmentRecord): Promise<void>;
  /** Changes what an endpoint may reach of its neighbours. */
  reach(record: AttachmentRecord, ports: readonly Reach[]): Promise<void>;
  /** Makes a user-defined bridge network at once. Throws in docker's words: conflict (name),
   * forbidden (predefined, overlap), invalid, exhausted (no subnet left). */
  createNetwork(request: CreateNetworkRequest): Promise<{ id: string; warnings: string[] }>;
  /** By name or id. Throws not-found, or forbidden while endpoints are attached. */
  removeNetwork(ref: string): Promise<void>;
  /** Throws what attach() would say of an endpoint's settings, but for addresses in use. */
  checkEndpoint(networkRef: string, settings: EndpointSettings): void;
  /** Connects a running container whose init is `pid`: attach() and its operations at once.
   * `interfaceName` and `position` must be free in the container. */
  connect(o: Parameters<NetworkLayer["attach"]>[0] & { pid: number }): Promise<AttachmentRecord>;
  /** detach() from a running container (init `pid`): its interface is gone when this resolves. */
  disconnect(record: AttachmentRecord, o?: { pid?: number }): Promise<void>;
  /** Publishes and unpublishes ports of a live endpoint; connections go on. What is both removed
   * and added changes its target at once. Returns the record that the caller keeps: `record` with
   * other ports. On failure everything is as it was. Throws conflict as attach() does. */
  republish(
    record: AttachmentRecord,
    change: {
      add: readonly PublishRequest[];
      remove: readonly PublishedPort[];
      containerName: string;
    },
  ): Promise<void>;
  /** Changes what an endpoint is called, or whom it asks; the caller keeps the changed record. */
  rename(
    record: AttachmentRecord,
    dns: Partial<Pick<EndpointDns, "names" | "pointer" | "servers">>,
  ): Promise<void>;
  /** Leads the default routes of a running container (init `pid`) over these networks of its; a
   * family without one loses its route. */
  setGateways(
    gateways: { ipv4?: AttachmentRecord | undefined; ipv6?: AttachmentRecord | undefined },
    pid: number,
  ): Promise<void>;
  /** How full the subnets of a network are. */
  usage(networkId: string): { subnet: string; used: bigint; available: bigint }[];
  /** What lies between a client and the endpoint of a running container (init `pid`), in the
   * order in which a packet meets it. */
  explain(o: {
    record: AttachmentRecord;
    pid: number;
    port?: { number: number; protocol: PublishedPort["protocol"] };
  }): Promise<ExplainLine[]>;
  /** Docker's inspect of every network, without Containers. */
  describe(): { Id: string; Name: string; Driver: string; [field: string]: unknown }[];
  stop(): Promise<void>;
}
