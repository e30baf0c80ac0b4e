import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { pairsToRecord } from "../../run/environment.ts";
import { checkedList, link } from "../../run/list-flags.ts";
import { segment } from "../each.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] NETWORK CONTAINER",
  short: "Connect a container to a network",
  args: { min: 2, max: 2 },
  flags: {
    alias: { type: "stringSlice", usage: "Name of the container within the network" },
    "driver-opt": { type: "stringSlice", usage: "Options of the driver" },
    "gw-priority": { type: "int", usage: "The highest one's gateway becomes the default" },
    ip: { type: "string", usage: 'IPv4 address ("172.30.100.104")' },
    ip6: { type: "string", usage: 'IPv6 address ("2001:db8::33")' },
    link: checkedList(link, "Add a link to another container"),
    "link-local-ip": { type: "stringSlice", usage: "Link-local addresses" },
  },
  async run(session, { values, args }) {
    const [network = "", container = ""] = args;
    const linkLocal = values["link-local-ip"];
    const options = values["driver-opt"];
    if (options.some((option) => !option.includes("="))) {
      throw new GantryError("invalid", "invalid key/value pair format in driver options");
    }
    const client = await session.client();
    await client.empty("POST", `/networks/${segment(network)}/connect`, {
      json: {
        Container: container,
        EndpointConfig: {
          IPAMConfig: {
            ...(values.ip ? { IPv4Address: values.ip } : {}),
            ...(values.ip6 ? { IPv6Address: values.ip6 } : {}),
            ...(linkLocal.length > 0 ? { LinkLocalIPs: linkLocal } : {}),
          },
          Links: values.link.length > 0 ? values.link : null,
          Aliases: values.alias,
          DriverOpts: pairsToRecord(options),
          GwPriority: values["gw-priority"],
        },
      },
    });
    return 0;
  },
});
export default command;
