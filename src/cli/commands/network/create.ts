import { type Command, defineCommand } from "../../command.ts";
import { pairsToRecord } from "../../run/environment.ts";
import { ipamConfigs } from "../../run/ipam.ts";
import { checkedList, label } from "../../run/list-flags.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] NETWORK",
  short: "Create a network",
  args: { min: 1, max: 1 },
  flags: {
    attachable: { type: "bool", usage: "Let containers be attached by hand" },
    "aux-address": { type: "map", usage: "Addresses that the driver must not give away" },
    "config-from": { type: "string", usage: "Network to copy the configuration from" },
    "config-only": { type: "bool", usage: "Only a configuration for other networks" },
    driver: { type: "string", shorthand: "d", default: "bridge", usage: "Driver of the network" },
    gateway: { type: "stringSlice", usage: "Gateway of the subnet" },
    ingress: { type: "bool", hidden: true },
    internal: { type: "bool", usage: "No way out of the network" },
    "ip-range": { type: "stringSlice", usage: "Part of the subnet to give addresses from" },
    "ipam-driver": { type: "string", default: "default", usage: "Driver that manages addresses" },
    "ipam-opt": { type: "map", usage: "Options of the address driver" },
    ipv4: { type: "bool", default: true, usage: "Give IPv4 addresses" },
    ipv6: { type: "bool", usage: "Give IPv6 addresses" },
    label: checkedList(label, "Set labels"),
    opt: { type: "map", shorthand: "o", usage: "Options of the driver" },
    scope: { type: "string", hidden: true },
    subnet: { type: "stringSlice", usage: "Subnet in CIDR notation" },
  },
  async run(session, { values, changed, args }) {
    const configs = ipamConfigs({
      subnets: values.subnet,
      ranges: values["ip-range"],
      gateways: values.gateway,
      auxiliary: values["aux-address"],
    });
    const client = await session.client();
    const { Id, Warning } = await client.json<{ Id: string; Warning?: string }>(
      "POST",
      "/networks/create",
      {
        json: {
          Name: args[0],
          Driver: values.driver,
          Scope: values.scope,
          ...(changed.has("ipv4") ? { EnableIPv4: values.ipv4 } : {}),
          ...(changed.has("ipv6") ? { EnableIPv6: values.ipv6 } : {}),
          IPAM: {
            Driver: values["ipam-driver"],
            Options: values["ipam-opt"],
            Config: configs,
          },
          Internal: values.internal,
          Attachable: values.attachable,
          Ingress: values.ingress,
          ConfigOnly: values["config-only"],
          ConfigFrom: values["config-from"] ? { Network: values["config-from"] } : null,
          Options: values.opt,
          Labels: pairsToRecord(values.label),
        },
      },
    );
    if (Warning) session.warn(`WARNING: ${Warning}`);
    session.print(Id);
    return 0;
  },
});
export default command;
