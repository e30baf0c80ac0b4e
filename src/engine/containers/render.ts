// A container record as the doors show it.

import { join } from "node:path";
import { type AttachmentRecord, eachPort, type PublishedPort } from "../../network/index.ts";
import type { EndpointSettings, ImageConfigDocument, Platform } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import type { Container, MountPoint } from "../contract.ts";
import { networkNamed } from "../networks/find.ts";
import { mapWords } from "../userns/index.ts";
import { dnsNames } from "./endpoint-names.ts";
import { shownLinks } from "./links.ts";
import { type ContainerRecord, hasNeverRun, type MountRecord, stateOf } from "./record.ts";
import { renderEndpoint } from "./render-endpoint.ts";
import { apparmorProfile, parseSecurityOptions, securityDefaults } from "./security-options.ts";

const NETNS_NAME_HEX = 12;

export function renderContainer(engine: EngineContext, c: ContainerRecord): Container {
  const paths = engine.paths.container(c.id);
  const rootfs = engine.storage.snapshots.get(c.id);
  const overlay = rootfs?.kind === "overlay" ? rootfs : undefined;
  const attachments = c.run?.attachments ?? [];
  const image = engine.storage.images.get(c.imageId);
  const started = !hasNeverRun(c);
  return {
    id: c.id,
    name: c.name,
    created: c.created,
    path: c.path,
    args: c.args,
    state: stateOf(c),
    imageId: c.imageId,
    imageName: c.imageName,
    imageShown: isImageNamed(engine, c) ? c.imageName : c.imageId,
    platform: c.platform,
    config: c.config,
    hostConfig: { ...c.hostConfig, Links: shownLinks(engine, c), ...shownIdMaps(c) },
    mounts: c.mounts.map(renderMount),
    networks: renderNetworks(engine, c, attachments),
    ports: renderPorts(c, attachments),
    restartCount: c.restartCount,
    logPath: (c.hostConfig.LogConfig?.Type || "json-file") === "json-file" ? paths.log : "",
    resolvConfPath: started ? paths.resolvConf : "",
    hostnamePath: started ? paths.hostname : "",
    hostsPath: started ? paths.hosts : "",
    execIds: [...(engine.live.peek(c.id)?.execs.keys() ?? [])],
    sandbox: c.run
      ? { id: c.id, key: `/proc/${c.run.pid}/ns/net#${c.id.slice(0, NETNS_NAME_HEX)}` }
      : { id: "", key: "" },
    driver: "overlay2",
    graph: {
      lowerDirs: [...(overlay?.lowerDirs ?? [])],
      upperDir: overlay?.upperDir ?? "",
      workDir: overlay?.workDir ?? "",
      mergedDir: overlay ? join(overlay.upperDir, "../merged") : "",
    },
    appArmorProfile: shownProfile(engine, c),
    mountLabel: c.selinux?.mount ?? "",
    processLabel: c.selinux?.process ?? "",
    ...(image?.manifest && {
      imageManifest: { ...image.manifest, platform: platformOf(image.config) },
    }),
  };
}

function shownProfile(engine: EngineContext, { hostConfig }: ContainerRecord): string {
  if (!engine.runtime.kernel.apparmor) return "";
  const security = parseSecurityOptions(hostConfig.SecurityOpt ?? [], securityDefaults(engine));
  return apparmorProfile(hostConfig.Privileged === true, security) ?? "";
}

/** As podman shows them. */
const shownIdMaps = ({ userns }: ContainerRecord): Pick<Container["hostConfig"], "IDMappings"> =>
  userns ? { IDMappings: { UidMap: mapWords(userns.uid), GidMap: mapWords(userns.gid) } } : {};

/** Whether the name that a container was made with is still its image's. */
function isImageNamed({ storage: { images } }: EngineContext, c: ContainerRecord): boolean {
  return c.imageName === "" || images.resolve(c.imageName)?.id === c.imageId;
}

const platformOf = ({ architecture = "", os = "", variant }: ImageConfigDocument): Platform => ({
  architecture,
  os,
  ...(variant && { variant }),
});

function renderMount(mount: MountRecord): MountPoint {
  const name = mount.Type === "image" ? mount.Source : mount.Name;
  return {
    Type: mount.Type,
    ...(name && { Name: name }),
    Source: mount.Source,
    Destination: mount.Destination,
    ...(mount.Driver && { Driver: mount.Driver }),
    Mode: mount.Mode,
    RW: mount.RW,
    Propagation: mount.Propagation,
  };
}

function renderNetworks(
  engine: EngineContext,
  c: ContainerRecord,
  attachments: readonly AttachmentRecord[],
): Record<string, EndpointSettings> {
  const networks: Record<string, EndpointSettings> = {};
  for (const [name, settings] of Object.entries(c.endpoints)) {
    const id = networkNamed(engine, name)?.Id ?? "";
    const record = attachments.find((attachment) => attachment.networkId === id);
    const shown = record ? { ...settings, DNSNames: dnsNames(c, name) } : settings;
    networks[name] = renderEndpoint(shown, hasNeverRun(c) ? "" : id, record);
  }
  return networks;
}

/** Published ports with their host sides; ports that are only exposed have null. */
export function renderPorts(
  c: ContainerRecord,
  attachments: readonly AttachmentRecord[],
): Container["ports"] {
  const ports: Container["ports"] = {};
  // Only an endpoint of a network has ports: nothing is exposed on none, host and container:ID.
  if (!c.run || attachments.length === 0) return ports;
  for (const port of Object.keys(c.config.ExposedPorts ?? {})) ports[port] = null;
  for (const port of attachments.flatMap((attachment) => eachPort(attachment.ports))) {
    const HostPort = port.hostPort === 0 ? "" : String(port.hostPort);
    (ports[keyOf(port)] ??= []).push({ HostIp: port.hostIp, HostPort });
  }
  return ports;
}

const keyOf = (port: PublishedPort): string => `${port.containerPort}/${port.protocol}`;
