// What the engine remembers of a container, as one JSON document in SQLite. Facts only: the state
// that Docker shows is derived from them by the one-line predicates below and never stored twice.
// Intent (`creating`, `starting`, `removing`) is written before its side effects, the fact after.

import type { Advice } from "../../base/index.ts";
import type { AttachmentRecord } from "../../network/index.ts";
import type {
  ContainerConfig,
  EndpointSettings,
  HostConfig,
  MountRequest,
} from "../../spec/index.ts";
import type { ContainerState, HealthResult, MountPoint } from "../contract.ts";
import type { LabelRecord } from "../selinux/index.ts";
import { NEVER } from "../timestamps.ts";
import type { UsernsRecord } from "../userns/index.ts";
import { type EndRecord, shortReason } from "./ending.ts";
import type { LinkRecord } from "./links.ts";

/** A mount as inspect shows it, and what only the engine needs to make it. */
export interface MountRecord extends MountPoint {
  /** Copy what the image holds at the destination into an empty volume. */
  copyUp?: boolean;
  /** The volume is anonymous: `rm -v` and `--rm` delete it. */
  anonymous?: boolean;
  /** Make a missing source folder (-v does, --mount does not). */
  createSource?: boolean;
  /** The user named the propagation; otherwise it may be what fits. */
  propagationAsked?: boolean;
  /** Files belong to this user in the container: "uid:gid", or "" for the container's own user. */
  idmap?: string;
  /** The API's Mount that asked for this, with all its options. */
  request?: MountRequest;
}

/** What is true only while the container runs. */
export interface RunFacts {
  pid: number;
  startTicks: string;
  monitorPid: number;
  paused: boolean;
  /** Controller → absolute folder ("" is v2). */
  cgroupPaths: Record<string, string>;
  attachments: AttachmentRecord[];
  /** Networks are coming or going: default route and ports may not have followed yet. */
  movesGateway?: boolean;
  /** The network that it is being taken off. */
  leaves?: string;
  /** Volumes in use, for their unmount events. */
  volumes: string[];
}

export interface HealthFacts {
  status: "starting" | "healthy" | "unhealthy";
  failingStreak: number;
  log: HealthResult[];
}

export interface ContainerRecord {
  id: string;
  name: string;
  created: string;
  path: string;
  args: string[];
  imageId: string;
  imageName: string;
  platform: string;
  diffIds: string[];
  config: ContainerConfig;
  hostConfig: HostConfig;
  endpoints: Record<string, EndpointSettings>;
  /** --link on the default bridge. */
  links?: LinkRecord[];
  /** Network id → addresses of the run before. */
  lastAddresses?: Record<string, string[]>;
  mounts: MountRecord[];
  /** Its user namespace; absent: the host's. */
  userns?: UsernsRecord;
  /** Its SELinux labels; absent: the daemon gave none. */
  selinux?: LabelRecord;
  intent?: "creating" | "starting" | "removing";
  /** Said with the intent to remove: anonymous volumes go too. */
  removeVolumes?: boolean;
  run?: RunFacts;
  health?: HealthFacts;
  /** Waiting for its next start under a restart policy. */
  restarting?: boolean;
  /** A user stopped it: `unless-stopped` leaves it alone at the next boot. */
  manuallyStopped: boolean;
  restartCount: number;
  startedAt: string;
  finishedAt: string;
  exitCode: number;
  oomKilled: boolean;
  error: string;
  /** Why it could not be started, and what to do. */
  advice?: Advice;
  /** How its last run ended. */
  end?: EndRecord;
  /** A step of a build, which is on no record: its /etc/hostname is the image's own, and what it
   * cannot keep, /etc/hosts and /etc/resolv.conf, it cannot write. */
  isBuildStep?: boolean;
  /** Removal failed half-way. */
  dead?: boolean;
}

export const isRunning = (c: ContainerRecord): boolean => c.run !== undefined;
export const isPaused = (c: ContainerRecord): boolean => c.run?.paused === true;
export const isRestarting = (c: ContainerRecord): boolean => c.restarting === true && !c.run;
export const isRemoving = (c: ContainerRecord): boolean => c.intent === "removing";
export const hasNeverRun = (c: ContainerRecord): boolean => c.startedAt === NEVER;

export function statusOf(c: ContainerRecord): ContainerState["Status"] {
  if (isPaused(c)) return "paused";
  if (isRestarting(c)) return "restarting";
  if (isRunning(c)) return "running";
  if (isRemoving(c)) return "removing";
  if (c.dead) return "dead";
  return hasNeverRun(c) ? "created" : "exited";
}

export function stateOf(c: ContainerRecord): ContainerState {
  const reason = shortReason(c);
  return {
    Status: statusOf(c),
    Running: isRunning(c) || isRestarting(c),
    Paused: isPaused(c),
    Restarting: isRestarting(c),
    OOMKilled: c.oomKilled,
    Dead: c.dead === true,
    Pid: c.run?.pid ?? 0,
    ExitCode: c.exitCode,
    Error: c.error,
    StartedAt: c.startedAt,
    FinishedAt: c.finishedAt,
    ...(reason && { Reason: reason }),
    ...(c.health && {
      Health: {
        Status: c.health.status,
        FailingStreak: c.health.failingStreak,
        Log: c.health.log,
      },
    }),
  };
}
