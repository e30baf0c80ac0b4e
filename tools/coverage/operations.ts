// What the table of fields does not say: which definition an operation answers with, and the
// bodies and answers that have no definition of their own (Docker Engine API, 1.55).

import { type Field, fieldsOf } from "./facts.ts";

const PRUNED = "SpaceReclaimed";

/** Fields of the answer, by operation: a definition's name after "=", or the fields themselves. */
const ANSWERS: Record<string, string> = {
  ContainerList: "=ContainerSummary",
  ContainerCreate: "=ContainerCreateResponse",
  ContainerInspect: "=ContainerInspectResponse",
  ContainerTop: "=ContainerTopResponse",
  ContainerChanges: "=FilesystemChange",
  ContainerStats: "=ContainerStatsResponse",
  ContainerUpdate: "=ContainerUpdateResponse",
  ContainerWait: "=ContainerWaitResponse",
  ContainerPrune: `ContainersDeleted ${PRUNED}`,
  ImageList: "=ImageSummary",
  ImageInspect: "=ImageInspect",
  ImageHistory: "=ImageHistoryResponseItem",
  ImageAttestations: "=AttestationStatement",
  ImageDelete: "=ImageDeleteResponseItem",
  ImageSearch: "description is_official is_automated name star_count",
  ImagePrune: `ImagesDeleted:[ImageDeleteResponseItem] ${PRUNED}`,
  ImageCommit: "=IDResponse",
  BuildPrune: `CachesDeleted ${PRUNED}`,
  SystemAuth: "=AuthResponse",
  SystemInfo: "=SystemInfo",
  SystemVersion: "=SystemVersion",
  SystemEvents: "=EventMessage",
  SystemDataUsage:
    "ImageUsage:ImagesDiskUsage ContainerUsage:ContainersDiskUsage " +
    "VolumeUsage:VolumesDiskUsage BuildCacheUsage:BuildCacheDiskUsage",
  ContainerExec: "=IDResponse",
  ExecInspect:
    "CanRemove DetachKeys ID Running ExitCode ProcessConfig:ProcessConfig OpenStdin OpenStderr " +
    "OpenStdout ContainerID Pid",
  VolumeList: "=VolumeListResponse",
  VolumeCreate: "=Volume",
  VolumeInspect: "=Volume",
  VolumePrune: `VolumesDeleted ${PRUNED}`,
  NetworkList: "=NetworkSummary",
  NetworkInspect: "=NetworkInspect",
  NetworkCreate: "=NetworkCreateResponse",
  NetworkPrune: "NetworksDeleted",
  PluginList: "=Plugin",
  DistributionInspect: "=DistributionInspect",
};

/** Bodies that are not one definition. */
const BODIES: Record<string, string> = {
  ContainerCreate:
    "(embeds):ContainerConfig HostConfig:HostConfig NetworkingConfig:NetworkingConfig",
  ContainerUpdate: "(embeds):Resources RestartPolicy:RestartPolicy",
  ContainerExec:
    "AttachStdin AttachStdout AttachStderr ConsoleSize DetachKeys Tty Env Cmd Privileged User " +
    "WorkingDir",
  ExecStart: "Detach Tty ConsoleSize",
  VolumeUpdate: "Spec:ClusterVolumeSpec",
  NetworkCreate:
    "Name Driver Scope Internal Attachable Ingress ConfigOnly ConfigFrom:ConfigReference " +
    "IPAM:IPAM EnableIPv4 EnableIPv6 Options Labels",
};

export function answerFields(operation: string, known: Map<string, Field[]>): Field[] {
  const words = ANSWERS[operation];
  if (words === undefined) return [];
  return words.startsWith("=") ? (known.get(words.slice(1)) ?? []) : fieldsOf(words);
}

/** The fields of the body that the table of operations names; none for streams. */
export function bodyFields(
  { id, body }: { id: string; body: string },
  known: Map<string, Field[]>,
): Field[] {
  const words = BODIES[id];
  return words === undefined ? (known.get(body) ?? []) : fieldsOf(words);
}

export const ANSWERED = Object.keys(ANSWERS);
