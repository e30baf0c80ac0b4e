// The rows of the option table that are about networks.

import { nothing, type Row, refused, SWARM } from "./option-row.ts";

export const networkRows: Row[] = [
  ["bridge", "string", "Attach containers to a network bridge", { shorthand: "b" }],
  ["bip", "string", "IPv4 address for the default bridge"],
  ["bip6", "string", "IPv6 address for the default bridge"],
  ["fixed-cidr", "string", "IPv4 subnet for the default bridge network"],
  ["fixed-cidr-v6", "string", "IPv6 subnet for the default bridge network"],
  ["default-gateway", "string", "Default gateway IPv4 address for the default bridge network"],
  ["default-gateway-v6", "string", "Default gateway IPv6 address for the default bridge network"],
  [
    "default-address-pools",
    "pools",
    "Default address pools for node specific local networks",
    { flag: "default-address-pool" },
  ],
  ["default-network-opts", "object", "Default network options", { flag: "default-network-opt" }],
  [
    "ip",
    "string",
    "Host IP for port publishing from the default bridge network",
    { default: "0.0.0.0" },
  ],
  [
    "icc",
    "bool",
    "Enable inter-container communication for the default bridge network",
    { default: true },
  ],
  ["ip-forward", "bool", "Enable IP forwarding in system configuration", { default: true }],
  [
    "ip-forward-no-drop",
    "bool",
    "Where forwarding is switched on, forward the packets of others as well",
  ],
  ["ip-masq", "bool", "Enable IP masquerading for the default bridge network", { default: true }],
  ["iptables", "bool", "Enable addition of firewall rules", { default: true }],
  ["ip6tables", "bool", "Enable addition of IPv6 firewall rules", { default: true }],
  ["ipv6", "bool", "Enable IPv6 networking for the default bridge network"],
  ["mtu", "int", "Set the MTU for the default bridge network", { default: 1500 }],
  [
    "userland-proxy",
    "bool",
    "Carry published ports in user space where the kernel cannot",
    { default: true },
  ],
  [
    "publish-filter",
    "string",
    'Rules of the host that apply to published ports: "none", or those for "input"',
    { default: "none" },
  ],
  [
    "accept-in-other-firewalls",
    "bool",
    "Add a rule to chains of other firewalls that drop what is forwarded",
    { default: true },
  ],
  [
    "userland-proxy-path",
    "string",
    "Path to the userland proxy binary",
    refused("the proxy is part of Gantry", ""),
  ],
  [
    "firewall-backend",
    "string",
    "Firewall backend to use",
    refused("rules are nftables rules", "", "nftables"),
  ],
  [
    "allow-direct-routing",
    "bool",
    "Allow remote access to published ports on container IP addresses",
  ],
  [
    "bridge-accept-fwmark",
    "string",
    "In bridge networks, accept packets with this firewall mark/mask",
  ],
  [
    "host-gateway-ips",
    "list",
    "IP addresses that host-gateway resolves to",
    { flag: "host-gateway-ip", reload: true },
  ],
  [
    "network-control-plane-mtu",
    "int",
    "Network Control plane MTU",
    { default: 1500, ...nothing(SWARM) },
  ],
  [
    "network-diagnostic-port",
    "int",
    "Port of the network diagnostic server",
    { reload: true, ...refused("there is no network diagnostic server", 0) },
  ],
];
