// Options → what is asked of the builder: frontend attributes with BuildKit's names, exporters,
// caches and entitlements. Ours are named "gantry:…". Where files come from is decided in
// inputs.ts. Pure.

import { formatReference, parseReference } from "../../../../spec/index.ts";
import type { BuildOptions } from "./options.ts";
import { invalid, type OutputSpec } from "./specs.ts";

export interface Exporter {
  type: string;
  attrs: Record<string, string>;
}
export interface CacheRequest {
  type: string;
  attrs: Record<string, string>;
}

/** The attributes that do not depend on files. */
export function frontendAttrs(
  options: BuildOptions,
  proxies: Readonly<Record<string, string>>,
): Record<string, string> {
  const attrs: Record<string, string> = {};
  if (options.target !== "") attrs["target"] = options.target;
  if (options.platforms.length > 0) attrs["platform"] = options.platforms.join(",");
  attrs["image-resolve-mode"] = options.pull ? "pull" : "local";
  if (options.noCacheFilter.length > 0) attrs["no-cache"] = options.noCacheFilter.join(",");
  if (options.noCache) attrs["no-cache"] = "";
  for (const [name, value] of Object.entries(proxies)) attrs[`build-arg:${name}`] = value;
  for (const [name, value] of Object.entries(options.buildArgs)) attrs[`build-arg:${name}`] = value;
  for (const [name, value] of Object.entries(options.labels)) attrs[`label:${name}`] = value;
  for (const [type, parameters] of options.attestations) {
    if (parameters !== undefined) attrs[`attest:${type}`] = parameters;
  }
  if (isTrue(options.buildArgs["BUILDKIT_MULTI_PLATFORM"])) attrs["multi-platform"] = "true";
  stepAttrs(options, attrs);
  if (options.call) {
    attrs["requestid"] = `frontend.${options.call.name}`;
    attrs["frontend.caps"] = "moby.buildkit.frontend.subrequests";
  }
  if (options.explain) attrs["gantry:explain"] = "true";
  if (options.debug) attrs["gantry:debug"] = "true";
  return attrs;
}

function stepAttrs(options: BuildOptions, attrs: Record<string, string>): void {
  switch (options.network) {
    case "host":
    case "none":
      attrs["force-network-mode"] = options.network;
      break;
    case "":
    case "default":
      break;
    default:
      throw invalid(
        `network mode ${JSON.stringify(options.network)} not supported: ` +
          "steps have default, none or host",
      );
  }
  if (options.addHosts.length > 0) attrs["add-hosts"] = options.addHosts.join(",");
  if (options.shmSize > 0) attrs["shm-size"] = String(options.shmSize);
  if (options.ulimits.length > 0) attrs["ulimit"] = options.ulimits.join(",");
  if (options.cgroupParent !== "") attrs["cgroup-parent"] = options.cgroupParent;
  if (Object.keys(options.limits).length > 0) {
    attrs["gantry:limits"] = JSON.stringify(options.limits);
  }
}

/** Entitlements: those that are allowed, and what the network mode needs. */
export function entitlements(options: BuildOptions): string[] {
  const all = [...options.allow];
  if (options.network === "host") all.push("network.host");
  return [...new Set(all)];
}

/** The outputs as exporters; without any the image is kept by the daemon. A call has none. */
export function exportersOf(options: BuildOptions): (Exporter & { spec: OutputSpec })[] {
  if (options.call) return [];
  const names = options.tags.map(tagOf).join(",");
  const specs = options.outputs.length > 0 ? options.outputs : [{ type: "image", attrs: {} }];
  return specs
    .filter(({ type }) => type !== "cacheonly")
    .map((spec) => {
      const attrs: Record<string, string> = { ...spec.attrs };
      let { type } = spec;
      if (names !== "" && ["image", "oci", "docker"].includes(type)) attrs["name"] = names;
      if (type === "image" && isTrue(attrs["push"]) && !attrs["name"]) {
        throw invalid("tag is needed when pushing to registry");
      }
      if (type === "docker" && options.platforms.length > 1 && spec.dest !== undefined) {
        throw invalid(
          "docker exporter does not support exporting manifest lists, use the oci exporter instead",
        );
      }
      // An image for the daemon itself: it is there already.
      if (type === "docker" && spec.dest === undefined) type = "image";
      // The word of docker's daemons for their own images, which ours knows, too.
      if (type === "image" && !isTrue(attrs["push"])) type = "moby";
      return { type, attrs, spec };
    });
}

function tagOf(text: string): string {
  const reference = parseReference(text);
  if (reference.digest !== undefined && reference.tag === undefined) {
    throw invalid("build tag cannot contain a digest");
  }
  return formatReference(reference);
}

/** Inline caches may be asked for by a build argument, as BuildKit has it. */
export function cacheExportsOf(options: BuildOptions): CacheRequest[] {
  const all = options.cacheTo.map(({ type, attrs }) => ({ type, attrs: { ...attrs } }));
  const inline = isTrue(options.buildArgs["BUILDKIT_INLINE_CACHE"]);
  if (inline && !all.some(({ type }) => type === "inline")) all.push({ type: "inline", attrs: {} });
  return all;
}

export function isTrue(text: string | undefined): boolean {
  return text !== undefined && ["1", "t", "T", "true", "TRUE", "True"].includes(text);
}
