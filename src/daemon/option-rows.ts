// The rows of the option table (option-table.ts): one for each key of dockerd's daemon.json.

import { nothing, type Row, refused, SWARM } from "./option-row.ts";
import { networkRows } from "./option-rows-network.ts";

const CONTAINERD = "Gantry contains what containerd does";

const daemonRows: Row[] = [
  ["data-root", "string", "Root directory of persistent state", { default: "/var/lib/gantry" }],
  ["exec-root", "string", "Root directory for execution state files", { default: "/run/gantry" }],
  [
    "pidfile",
    "string",
    "Path to use for daemon PID file",
    { shorthand: "p", default: "/run/gantry.pid" },
  ],
  ["hosts", "list", "Daemon socket(s) to connect to", { flag: "host", shorthand: "H" }],
  ["group", "string", "Group for the unix socket", { shorthand: "G", default: "docker" }],
  ["debug", "bool", "Enable debug mode", { shorthand: "D", reload: true }],
  [
    "log-level",
    "string",
    "Set the logging level (debug, info, warn, error, fatal)",
    { shorthand: "l", default: "info", reload: true },
  ],
  ["log-format", "string", "Set the logging format (text, json)", { default: "text" }],
  ["raw-logs", "bool", "Full timestamps without colors", nothing("logs never have colors")],
  ["labels", "list", "Set key=value labels to the daemon", { flag: "label", reload: true }],
  [
    "live-restore",
    "bool",
    "Keep containers running when the daemon stops",
    { default: true, reload: true },
  ],
  [
    "shutdown-timeout",
    "int",
    "Seconds that containers get to stop at shutdown",
    { default: 15, reload: true },
  ],
  ["tls", "bool", "Use TLS; implied by --tlsverify"],
  ["tlscacert", "string", "Trust certs signed only by this CA", { default: "" }],
  ["tlscert", "string", "Path to TLS certificate file", { default: "" }],
  ["tlskey", "string", "Path to TLS key file", { default: "" }],
  ["tlsverify", "bool", "Use TLS and verify the remote"],
  ["min-api-version", "string", "Lowest API version that is accepted", { flag: "" }],
  ["experimental", "bool", "Say that experimental features are enabled; there are none"],
  [
    "metrics-addr",
    "string",
    "Address to serve the metrics api on: HOST:PORT, or unix://PATH",
    { default: "" },
  ],
  [
    "authorization-plugins",
    "list",
    "Authorization plugins to load",
    { flag: "authorization-plugin", reload: true },
  ],
  ["plugin-socket-dir", "string", "Folder of plugins' sockets", { default: "/run/docker/plugins" }],
  [
    "plugin-spec-dirs",
    "list",
    "Folders of plugins' descriptions (.spec, .json)",
    { flag: "plugin-spec-dir", default: ["/etc/docker/plugins", "/usr/lib/docker/plugins"] },
  ],
  [
    "events-max-count",
    "int",
    "How many events are kept on disk",
    { default: 100_000, reload: true },
  ],
  [
    "events-max-age",
    "string",
    "How long events are kept (720h; 0 is no limit)",
    { default: "720h", reload: true },
  ],
  [
    "features",
    "object",
    "Enable feature in the daemon",
    { flag: "feature", type: "switches", reload: true },
  ],
  [
    "nri-opts",
    "object",
    "Node Resource Interface",
    { flag: "", ...refused("the Node Resource Interface is not supported") },
  ],
  [
    "rootless",
    "bool",
    "Enable rootless mode",
    refused("running without root is not supported yet", false),
  ],
  ["proxies", "object", "Proxies of the daemon", { flag: "", reload: true }],
  ["http-proxy", "string", "HTTP proxy URL to use for outgoing traffic", { reload: true }],
  ["https-proxy", "string", "HTTPS proxy URL to use for outgoing traffic", { reload: true }],
  ["no-proxy", "string", "Hosts or IP addresses for which the proxy is skipped", { reload: true }],
];

const containerRows: Row[] = [
  [
    "log-driver",
    "string",
    "Default driver for container logs",
    { default: "json-file", reload: true },
  ],
  [
    "log-budget",
    "string",
    "What all local logs may take together (default: a tenth of the disk, at most 10GB; 0: all)",
  ],
  [
    "log-opts",
    "map",
    "Default log driver options for containers",
    { flag: "log-opt", reload: true },
  ],
  [
    "default-ulimits",
    "ulimits",
    "Default ulimits for containers",
    { flag: "default-ulimit", reload: true },
  ],
  [
    "default-shm-size",
    "bytes",
    "Default shm size for containers",
    { default: 67_108_864, reload: true },
  ],
  [
    "default-ipc-mode",
    "string",
    "Default mode for containers ipc (shareable, private)",
    { default: "private", reload: true },
  ],
  [
    "default-cgroupns-mode",
    "string",
    "Default mode for containers cgroup namespace (host, private; by itself host on cgroup v1)",
    { default: "", reload: true },
  ],
  [
    "default-stop-timeout",
    "int",
    "Seconds before a stopping container is killed",
    { flag: "", default: 10, reload: true },
  ],
  [
    "init",
    "bool",
    "Run an init in the container to forward signals and reap processes",
    { reload: true },
  ],
  ["dns", "list", "DNS server to use", { reload: true }],
  ["dns-opts", "list", "DNS options to use", { flag: "dns-opt", reload: true }],
  ["dns-search", "list", "DNS search domains to use", { reload: true }],
  ["cgroup-parent", "string", "Set parent cgroup for all containers"],
  [
    "exec-opts",
    "list",
    "Runtime execution options: native.cgroupdriver=cgroupfs|systemd",
    { flag: "exec-opt" },
  ],
  [
    "default-init",
    "string",
    "Init binary name",
    {
      flag: "",
      ...refused("the init is part of Gantry; for another one set init-path", "", "docker-init"),
    },
  ],
  [
    "init-path",
    "string",
    "Path to the init binary, instead of the one that is part of Gantry",
    { default: "", reload: true },
  ],
  [
    "default-runtime",
    "string",
    "Default OCI runtime for containers",
    { default: "runc", reload: true },
  ],
  [
    "runtimes",
    "object",
    "Register an additional OCI compatible runtime",
    { flag: "add-runtime", type: "runtimes", reload: true },
  ],
  [
    "no-new-privileges",
    "bool",
    "Set no-new-privileges by default for new containers",
    { reload: true },
  ],
  [
    "seccomp-profile",
    "string",
    "Path to seccomp profile, or builtin, or unconfined",
    { default: "builtin", reload: true },
  ],
  ["selinux-enabled", "bool", "Enable selinux support"],
  [
    "userns-remap",
    "string",
    "User/Group setting for user namespaces: default, or USER[:GROUP] by name or number",
    { default: "" },
  ],
  [
    "userns-pool",
    "string",
    "Ids for --userns=auto: START:COUNT[,START:COUNT...], or a user of /etc/subuid and /etc/subgid",
    { default: "" },
  ],
  [
    "default-userns-mode",
    "string",
    "Default mode for containers user namespace (host, private, auto; by itself as userns-remap)",
    { default: "" },
  ],
  [
    "cpu-rt-period",
    "int",
    "Limit the CPU real-time period in microseconds for the parent cgroup",
    refused("real-time limits of the parent cgroup are not set; limit the containers", 0),
  ],
  [
    "cpu-rt-runtime",
    "int",
    "Limit the CPU real-time runtime in microseconds for the parent cgroup",
    refused("real-time limits of the parent cgroup are not set; limit the containers", 0),
  ],
  ["cdi-spec-dirs", "list", "CDI specification directories to use", { flag: "cdi-spec-dir" }],
  ["resolv-conf", "string", "Path of the resolv.conf to start from", { flag: "", default: "" }],
];

const imageRows: Row[] = [
  [
    "storage-driver",
    "string",
    "Storage driver to use",
    {
      shorthand: "s",
      ...refused("overlay2 is the only storage driver", "", "overlay2", "overlayfs"),
    },
  ],
  ["storage-opts", "list", "Storage driver options", { flag: "storage-opt" }],
  [
    "registry-mirrors",
    "list",
    "Preferred registry mirror",
    { flag: "registry-mirror", reload: true },
  ],
  [
    "registries",
    "object",
    "Mirrors, locations and bans of single registries",
    { flag: "", reload: true },
  ],
  [
    "insecure-registries",
    "list",
    "Enable insecure registry communication",
    { flag: "insecure-registry", reload: true },
  ],
  [
    "max-concurrent-downloads",
    "int",
    "Set the max concurrent downloads",
    { default: 3, reload: true },
  ],
  ["max-concurrent-uploads", "int", "Set the max concurrent uploads", { default: 5, reload: true }],
  [
    "max-download-attempts",
    "int",
    "Set the max download attempts for each pull",
    { default: 5, reload: true },
  ],
  [
    "allow-nondistributable-artifacts",
    "list",
    "Allow push of nondistributable artifacts to registry",
    { reload: true },
  ],
  ["builder", "object", "Settings of the builder", { flag: "" }],
  ["containerd", "string", "containerd grpc address", refused(CONTAINERD, "")],
  [
    "containerd-namespace",
    "string",
    "Containerd namespace to use",
    { default: "moby", ...nothing(CONTAINERD) },
  ],
  [
    "containerd-plugin-namespace",
    "string",
    "Containerd namespace to use for plugins",
    { flag: "containerd-plugins-namespace", default: "plugins.moby", ...nothing(CONTAINERD) },
  ],
  ["cri-containerd", "bool", "Start containerd with cri", refused(CONTAINERD, false)],
];

const swarmRows: Row[] = [
  [
    "node-generic-resources",
    "list",
    "Advertise user-defined resource",
    { flag: "node-generic-resource", ...refused(SWARM) },
  ],
  [
    "swarm-default-advertise-addr",
    "string",
    "Default address of the swarm advertised address",
    refused(SWARM, ""),
  ],
  ["swarm-raft-heartbeat-tick", "int", "Number of ticks between heartbeats", nothing(SWARM)],
  ["swarm-raft-election-tick", "int", "Number of ticks before an election", nothing(SWARM)],
];

export const optionRows: readonly Row[] = [
  ...daemonRows,
  ...containerRows,
  ...networkRows,
  ...imageRows,
  ...swarmRows,
];
