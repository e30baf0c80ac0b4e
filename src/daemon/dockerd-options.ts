// Options whose values are names of a closed list of dockerd's: exec-opts, and features, of which
// some mean something here and the others are told to mean nothing.

import { GantryError } from "../base/index.ts";

const FEATURES: Readonly<Record<string, string>> = {
  "containerd-snapshotter": "images are in Gantry's own store, with or without it",
  "containerd-migration": "images are in Gantry's own store: there is nothing to migrate",
  "embedded-containerd": "Gantry contains what containerd does",
  "swarm-nftables": "there is no swarm mode",
  "time-namespaces": "containers have the host's clocks",
  "windows-dns-proxy": "only Windows has it",
};
/** Those that do what dockerd's do. */
const KNOWN = new Set(["buildkit", "cdi"]);

export function featureWarnings(read: { map(key: string): Record<string, unknown> }): string[] {
  return Object.keys(read.map("features"))
    .filter((name) => !KNOWN.has(name))
    .map((name) => `Feature ${name} has no effect: ${FEATURES[name] ?? "nobody knows it"}`);
}

/** Throws invalid for what is none. Docker's default is systemd's driver where there is a systemd;
 * ours does not need to ask anybody. */
export function cgroupDriver(options: readonly string[]): "cgroupfs" | "systemd" {
  let driver: "cgroupfs" | "systemd" = "cgroupfs";
  for (const option of options) {
    const equals = option.indexOf("=");
    if (equals < 0) throw invalid(`invalid exec-opt (${option}): must be formatted 'opt=value'`);
    const [name, value] = [option.slice(0, equals).trim(), option.slice(equals + 1)];
    if (name !== "native.cgroupdriver") {
      throw invalid(`invalid exec-opt (${option}): unknown option: '${name}'`);
    }
    if (value !== "cgroupfs" && value !== "systemd") {
      throw invalid(`native.cgroupdriver option ${value} not supported`);
    }
    driver = value;
  }
  return driver;
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}
