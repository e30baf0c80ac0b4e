// The flags of `build`: docker's classic builder's and buildx's, and ours. Each is either passed
// on, or refused or warned of in options.ts; none is passed over in silence.

import { defineFlags } from "../../../../base/index.ts";

export const PROGRESS_MODES = ["auto", "none", "plain", "quiet", "rawjson", "tty"] as const;

/** What bake has too. */
export const SHARED_FLAGS = defineFlags({
  allow: {
    type: "stringArray",
    usage: 'Allow what is forbidden to steps otherwise ("network.host", "security.insecure")',
  },
  builder: { type: "string", usage: 'Name of the builder: "default" is the only one' },
  call: {
    type: "string",
    default: "build",
    valueName: "string",
    usage: 'What to do ("build", "check", "outline", "targets")',
  },
  check: { type: "bool", usage: 'Same as "--call=check"' },
  debug: {
    type: "bool",
    shorthand: "D",
    usage: "When a step fails, open a shell in the state that it left (needs a terminal)",
  },
  explain: { type: "bool", usage: "Say of each step why it ran or was found" },
  load: { type: "bool", usage: 'Same as "--output=type=docker"' },
  "metadata-file": { type: "string", usage: "Write what the build says of its result to a file" },
  "no-cache": { type: "bool", usage: "Run every step" },
  policy: { type: "stringArray", hidden: true },
  progress: {
    type: "string",
    default: "auto",
    usage: 'How to show progress ("auto", "none", "plain", "quiet", "rawjson", "tty")',
  },
  provenance: { type: "string", usage: 'Same as "--attest=type=provenance"' },
  pull: { type: "bool", usage: "Look at the registry for every base image" },
  push: { type: "bool", usage: 'Same as "--output=type=registry"' },
  sbom: { type: "string", usage: 'Same as "--attest=type=sbom"' },
});

const CLASSIC_FLAGS = defineFlags({
  compress: { type: "bool", hidden: true },
  "cpu-period": { type: "int64", usage: "Limit of CPU time: the period in microseconds" },
  "cpu-quota": { type: "int64", usage: "Limit of CPU time in each period, in microseconds" },
  "cpu-shares": { type: "int64", shorthand: "c", usage: "Share of the CPU, relative to others" },
  "cpuset-cpus": { type: "string", usage: 'Processors that steps may use ("0-3", "0,1")' },
  "cpuset-mems": { type: "string", usage: 'Memory nodes that steps may use ("0-3", "0,1")' },
  "force-rm": { type: "bool", hidden: true },
  isolation: { type: "string", hidden: true },
  memory: { type: "bytes", shorthand: "m", usage: "Limit of memory of each step" },
  "memory-swap": {
    type: "bytesOrUnlimited",
    valueName: "bytes",
    usage: "Limit of memory and swap together; -1: no limit of swap",
  },
  rm: { type: "bool", default: true, hidden: true },
  "security-opt": { type: "stringSlice", hidden: true },
  squash: { type: "bool", hidden: true },
});

export const BUILD_FLAGS = defineFlags({
  ...SHARED_FLAGS,
  ...CLASSIC_FLAGS,
  "add-host": { type: "stringSlice", usage: 'Add a name for an address ("host:ip")' },
  annotation: { type: "stringArray", usage: "Add an annotation to the image" },
  attest: { type: "stringArray", usage: 'Add an attestation ("type=sbom,generator=image")' },
  "build-arg": { type: "stringArray", usage: "Set a build argument" },
  "build-context": { type: "stringArray", usage: "Add a named context (name=path)" },
  "cache-from": {
    type: "stringArray",
    usage: 'Where to look for steps ("user/app:cache", "type=local,src=path")',
  },
  "cache-to": {
    type: "stringArray",
    usage: 'Where to keep steps ("user/app:cache", "type=local,dest=path")',
  },
  "cgroup-parent": { type: "string", usage: "Control group above those of the steps" },
  file: { type: "string", shorthand: "f", usage: 'Path of the Dockerfile; "-": standard input' },
  iidfile: { type: "string", usage: "Write the image id to a file" },
  label: { type: "stringArray", usage: "Add a label to the image" },
  network: {
    type: "string",
    default: "default",
    usage: 'Network of the steps ("default", "none", "host")',
  },
  "no-cache-filter": { type: "stringArray", usage: "Run every step of these stages" },
  output: {
    type: "stringArray",
    shorthand: "o",
    usage: 'Where the result goes ("type=local,dest=path")',
  },
  platform: { type: "stringArray", usage: "Platform of the result, of several" },
  quiet: { type: "bool", shorthand: "q", usage: "Print the image id alone" },
  resource: { type: "stringArray", hidden: true },
  secret: {
    type: "stringArray",
    usage: 'Secret for steps ("id=mysecret[,src=/local/secret]", "id=mysecret,env=NAME")',
  },
  "shm-size": { type: "bytes", usage: "Size of /dev/shm of the steps" },
  ssh: {
    type: "stringArray",
    usage: "ssh agent for steps (default|<id>[=<socket>])",
  },
  tag: { type: "stringArray", shorthand: "t", usage: 'Name of the image, "name:tag"' },
  target: { type: "string", usage: "Stage to build" },
  ulimit: { type: "stringArray", valueName: "ulimit", usage: "Limit of each process of the steps" },
});
