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
  hostPort: number;
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
  hostInterface: string; // veth…
  macAddress: string;
  ipv4?: { address: string; prefix: number; gateway: string };
  ipv6?: { address: string; prefix: number; gateway: string };
  ports: PublishedPort[];
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
  }): Promise<Attachment>;
  detach(record: AttachmentRecord): Promise<void>;
  /** Docker's inspect of the predefined networks, without Containers. */
  describe(): { Id: string; Name: string; Driver: string; [field: string]: unknown }[];
  stop(): Promise<void>;
}
