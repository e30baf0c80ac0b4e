// Fixed words that flags take: signals, capabilities, drivers, filters and their values.

export const SIGNALS = [
  ...["ABRT", "ALRM", "BUS", "CHLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "KILL", "PIPE"],
  ...["PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN"],
  ...["TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ"],
].map((name) => `SIG${name}`);

export const CAPABILITIES = [
  ...["AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE"],
  ...["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER"],
  ...["KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN"],
  ...["NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP"],
  ...["SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE"],
  ...["SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG"],
  "WAKE_ALARM",
].map((name) => `CAP_${name}`);

const COMMON_LOG_OPTIONS = ["max-buffer-size", "mode"];
const TEXT_LOG_OPTIONS = ["env", "env-regex", "labels", "labels-regex", "tag"];
const FILE_LOG_OPTIONS = [...COMMON_LOG_OPTIONS, "compress", "max-file", "max-size"];

export const LOG_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  awslogs: [
    ...COMMON_LOG_OPTIONS,
    ...["awslogs-create-group", "awslogs-credentials-endpoint", "awslogs-datetime-format"],
    ...["awslogs-endpoint", "awslogs-group", "awslogs-multiline-pattern", "awslogs-region"],
    ...["awslogs-stream", "tag"],
  ],
  fluentd: [
    ...[...COMMON_LOG_OPTIONS, ...TEXT_LOG_OPTIONS, "fluentd-address", "fluentd-async"],
    ...["fluentd-buffer-limit", "fluentd-max-retries", "fluentd-request-ack"],
    ...["fluentd-retry-wait", "fluentd-sub-second-precision"],
  ],
  gcplogs: [
    ...[...COMMON_LOG_OPTIONS, "env", "gcp-log-cmd", "gcp-meta-id", "gcp-meta-name"],
    ...["gcp-meta-zone", "gcp-project", "labels"],
  ],
  gelf: [
    ...[...COMMON_LOG_OPTIONS, ...TEXT_LOG_OPTIONS, "gelf-address", "gelf-compression-level"],
    ...["gelf-compression-type", "gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"],
  ],
  journald: [...COMMON_LOG_OPTIONS, ...TEXT_LOG_OPTIONS],
  "json-file": [...FILE_LOG_OPTIONS, ...TEXT_LOG_OPTIONS],
  local: FILE_LOG_OPTIONS,
  none: [],
  splunk: [
    ...[...COMMON_LOG_OPTIONS, ...TEXT_LOG_OPTIONS, "splunk-caname", "splunk-capath"],
    ...["splunk-format", "splunk-gzip", "splunk-gzip-level", "splunk-index"],
    ...["splunk-insecureskipverify", "splunk-source", "splunk-sourcetype", "splunk-token"],
    ...["splunk-url", "splunk-verify-connection"],
  ],
  syslog: [
    ...[...COMMON_LOG_OPTIONS, ...TEXT_LOG_OPTIONS, "syslog-address", "syslog-facility"],
    ...["syslog-format", "syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key"],
    "syslog-tls-skip-verify",
  ],
};
export const LOG_DRIVERS = Object.keys(LOG_OPTIONS);

export const PLATFORMS = [
  ...["linux", "linux/386", "linux/amd64", "linux/arm", "linux/arm/v5", "linux/arm/v6"],
  ...["linux/arm/v7", "linux/arm64", "linux/arm64/v8", "linux/ppc64le", "linux/riscv64"],
  "linux/s390x",
];

export const ULIMITS = [
  ...["as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile"],
  ...["nproc", "rss", "rtprio", "rttime", "sigpending", "stack"],
];

export const EVENT_NAMES = [
  ...["attach", "commit", "connect", "copy", "create", "delete", "destroy", "detach", "die"],
  ...["disconnect", "exec_create", "exec_detach", "exec_die", "exec_start", "export"],
  ...["health_status", "import", "kill", "load", "mount", "oom", "pause", "prune", "pull"],
  ...["push", "reload", "remove", "rename", "resize", "restart", "save", "start", "stop"],
  ...["tag", "top", "unmount", "unpause", "untag", "update"],
];

const BOOLEAN = ["true", "false"];
const STATES = ["created", "dead", "exited", "paused", "removing", "restarting", "running"];

/** Names of filters of a command; a text names the live list that the values come from. */
export const FILTERS: Readonly<Record<string, Readonly<Record<string, string | string[]>>>> = {
  "container ls": {
    ancestor: "images",
    before: "containers",
    exited: [],
    expose: [],
    health: ["healthy", "none", "starting", "unhealthy"],
    id: [],
    isolation: ["default"],
    label: [],
    name: "containers",
    network: "networks",
    publish: [],
    since: "containers",
    status: STATES,
    volume: "volumes",
  },
  "container prune": { label: [], "label!": [], until: [] },
  "image ls": {
    before: "images",
    dangling: BOOLEAN,
    label: [],
    reference: "images",
    since: "images",
    until: [],
  },
  "image prune": { label: [], "label!": [], until: [] },
  "network ls": {
    dangling: BOOLEAN,
    driver: ["bridge", "host", "ipvlan", "macvlan", "null"],
    id: [],
    label: [],
    name: "networks",
    scope: ["local", "global", "swarm"],
    type: ["builtin", "custom"],
  },
  "network prune": { label: [], "label!": [], until: [] },
  "volume ls": { dangling: BOOLEAN, driver: ["local"], label: [], name: "volumes" },
  "volume prune": { all: BOOLEAN, label: [], "label!": [] },
  "system prune": { label: [], "label!": [], until: [] },
  "system events": {
    container: "containers",
    event: "events",
    image: "images",
    label: [],
    network: "networks",
    scope: ["local", "swarm"],
    type: ["builder", "container", "daemon", "image", "network", "volume"],
    volume: "volumes",
  },
  search: { "is-automated": BOOLEAN, "is-official": BOOLEAN, stars: [] },
};
