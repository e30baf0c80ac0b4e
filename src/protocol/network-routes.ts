// The rows of /networks and the bodies that they take.

import type { EndpointSettings } from "../spec/index.ts";
import { endpointSettingsSchema } from "./container-schemas.ts";
import { defineRoutes } from "./route-table.ts";
import { any, flag, list, map, object, text } from "./schema.ts";

interface IpamConfigBody {
  Subnet?: string;
  IPRange?: string;
  Gateway?: string;
  AuxiliaryAddresses?: Record<string, string>;
}
interface IpamBody {
  Driver?: string;
  Config?: IpamConfigBody[];
  Options?: Record<string, string>;
}
export interface NetworkCreateBody {
  Name?: string;
  Driver?: string;
  Scope?: string;
  Internal?: boolean;
  Attachable?: boolean;
  Ingress?: boolean;
  ConfigOnly?: boolean;
  ConfigFrom?: { Network?: string };
  EnableIPv4?: boolean;
  EnableIPv6?: boolean;
  IPAM?: IpamBody;
  Options?: Record<string, string>;
  Labels?: Record<string, string>;
  CheckDuplicate?: unknown;
}
const networkCreateSchema = object<NetworkCreateBody>("network.CreateRequest", {
  Name: text,
  Driver: text,
  Scope: text,
  Internal: flag,
  Attachable: flag,
  Ingress: flag,
  ConfigOnly: flag,
  ConfigFrom: object<{ Network?: string }>("network.ConfigReference", { Network: text }),
  EnableIPv4: flag,
  EnableIPv6: flag,
  IPAM: object<IpamBody>("network.IPAM", {
    Driver: text,
    Config: list(
      object<IpamConfigBody>("network.IPAMConfig", {
        Subnet: text,
        IPRange: text,
        Gateway: text,
        AuxiliaryAddresses: map(text),
      }),
    ),
    Options: map(text),
  }),
  Options: map(text),
  Labels: map(text),
  CheckDuplicate: any,
});

export interface NetworkConnectBody {
  Container?: string;
  EndpointConfig?: EndpointSettings;
}
const networkConnectSchema = object<NetworkConnectBody>("network.ConnectRequest", {
  Container: text,
  EndpointConfig: endpointSettingsSchema,
});
export interface NetworkDisconnectBody {
  Container?: string;
  Force?: boolean;
}
const networkDisconnectSchema = object<NetworkDisconnectBody>("network.DisconnectRequest", {
  Container: text,
  Force: flag,
});

export const networkRoutes = defineRoutes({
  networkList: {
    method: "GET",
    path: "/networks",
    query: { filters: ["dangling", "driver", "id", "label", "name", "scope", "type"] },
    answer: "json",
  },
  networkInspect: {
    method: "GET",
    path: "/networks/{id}",
    query: { verbose: "string", scope: "string" },
    answer: "json",
  },
  networkCreate: {
    method: "POST",
    path: "/networks/create",
    body: networkCreateSchema,
    answer: "json",
  },
  networkConnect: {
    method: "POST",
    path: "/networks/{id}/connect",
    body: networkConnectSchema,
    answer: "empty",
  },
  networkDisconnect: {
    method: "POST",
    path: "/networks/{id}/disconnect",
    body: networkDisconnectSchema,
    answer: "empty",
  },
  networkDelete: { method: "DELETE", path: "/networks/{id}", answer: "empty" },
  // Gantry's own: what docker's API has no words for.
  networkExplain: {
    method: "GET",
    path: "/gantry/networks/explain",
    query: { container: "string", port: "string" },
    answer: "json",
  },
  networkPrune: {
    method: "POST",
    path: "/networks/prune",
    since: "1.25",
    query: { filters: ["label", "label!", "until"], "dry-run": "bool" },
    answer: "json",
  },
});
