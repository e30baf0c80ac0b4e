// The flags before the command's name.

import { defineFlags } from "../base/index.ts";

export const GLOBAL_FLAGS = defineFlags({
  config: { type: "string", usage: "Folder of the client's configuration files" },
  context: {
    type: "string",
    shorthand: "c",
    usage:
      'Name of the context that says where the daemon is (wins over DOCKER_HOST and over the context set with "context use")',
  },
  debug: { type: "bool", shorthand: "D", usage: "Show details of failures" },
  host: { type: "list", shorthand: "H", usage: "Daemon socket to connect to" },
  "log-level": {
    type: "string",
    shorthand: "l",
    default: "info",
    usage: 'How much to log ("debug", "info", "warn", "error", "fatal")',
  },
  tls: { type: "bool", usage: "Use TLS; implied by --tlsverify" },
  tlscacert: { type: "string", usage: "Trust only certificates signed by this CA" },
  tlscert: { type: "string", usage: "TLS certificate file" },
  tlskey: { type: "string", usage: "TLS key file" },
  tlsverify: { type: "bool", usage: "Use TLS and verify the daemon" },
  version: { type: "bool", shorthand: "v", usage: "Print the version and quit" },
});
