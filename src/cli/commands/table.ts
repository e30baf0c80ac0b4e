// Every command, with what help says of it and where it is: a command's file is loaded only when
// it is called, because loading is most of a command's start.

import type { FlagSpecs } from "../../base/index.ts";
import type { RootEntry } from "../help.ts";
import { BUILDER_NAME_FLAGS } from "./build/checked-builder.ts";
import { checkpointGroup } from "./checkpoint/group.ts";
import { pluginGroup } from "./plugin/group.ts";
import { swarmGroups } from "./swarm/groups.ts";

export interface CommandEntry {
  short: string;
  load: () => Promise<unknown>;
}
export interface CommandGroup {
  short: string;
  commands: Record<string, CommandEntry>;
  /** Groups within the group: `builder history ls`. One that is a command, too, is meant where one
   * of its commands follows: `history inspect attachment`. */
  groups?: Record<string, CommandGroup>;
  aliases: Record<string, string>;
  /** Flags of every command in it, which may also stand before the command's name. */
  flags?: FlagSpecs;
}

type Module = Promise<{ default: unknown }>;
const entry = (short: string, module: () => Module): CommandEntry => ({
  short,
  load: async () => (await module()).default,
});

const container: Record<string, CommandEntry> = {
  attach: entry("Attach to a running container's streams", () => import("./container/attach.ts")),
  commit: entry("Make an image of a container's changes", () => import("./container/commit.ts")),
  cp: entry("Copy files between a container and here", () => import("./container/cp.ts")),
  create: entry("Create a container", () => import("./container/create.ts")),
  diff: entry(
    "Show what changed in a container's file system",
    () => import("./container/diff.ts"),
  ),
  exec: entry("Run a command in a running container", () => import("./container/exec.ts")),
  export: entry(
    "Write a container's file system as a tar archive",
    () => import("./container/export.ts"),
  ),
  inspect: entry("Show details of containers", () => import("./container/inspect.ts")),
  kill: entry("Kill running containers", () => import("./container/kill.ts")),
  logs: entry("Show a container's logs", () => import("./container/logs.ts")),
  ls: entry("List containers", () => import("./container/ls.ts")),
  pause: entry("Pause all processes of containers", () => import("./container/pause.ts")),
  port: entry("Show a container's published ports", () => import("./container/port.ts")),
  prune: entry("Remove all stopped containers", () => import("./container/prune.ts")),
  rename: entry("Rename a container", () => import("./container/rename.ts")),
  restart: entry("Restart containers", () => import("./container/restart.ts")),
  rm: entry("Remove containers", () => import("./container/rm.ts")),
  run: entry("Create a container from an image and run it", () => import("./container/run.ts")),
  start: entry("Start stopped containers", () => import("./container/start.ts")),
  stats: entry("Show what containers use, live", () => import("./container/stats.ts")),
  stop: entry("Stop running containers", () => import("./container/stop.ts")),
  top: entry("Show a container's processes", () => import("./container/top.ts")),
  unpause: entry("Let paused containers go on", () => import("./container/unpause.ts")),
  update: entry("Change limits of containers", () => import("./container/update.ts")),
  wait: entry(
    "Wait until containers stop and print their exit codes",
    () => import("./container/wait.ts"),
  ),
};

const build = entry("Build an image from a Dockerfile", () => import("./build/build.ts"));

const image: Record<string, CommandEntry> = {
  bootstrap: entry(
    "Make a base image of the host's package sources",
    () => import("./image/bootstrap.ts"),
  ),
  build,
  history: entry("Show how an image was made", () => import("./image/history.ts")),
  import: entry("Make an image of a root file system archive", () => import("./image/import.ts")),
  inspect: entry("Show details of images", () => import("./image/inspect.ts")),
  load: entry("Load images from an archive", () => import("./image/load.ts")),
  ls: entry("List images", () => import("./image/ls.ts")),
  prune: entry("Remove unused images", () => import("./image/prune.ts")),
  pull: entry("Download an image from a registry", () => import("./image/pull.ts")),
  push: entry("Upload an image to a registry", () => import("./image/push.ts")),
  referrers: entry(
    "Show what refers to an image in its registry",
    () => import("./image/referrers.ts"),
  ),
  rm: entry("Remove images", () => import("./image/rm.ts")),
  save: entry("Write images to an archive", () => import("./image/save.ts")),
  tag: entry("Give an image another name", () => import("./image/tag.ts")),
  verify: entry("Compare images with their digests", () => import("./image/verify.ts")),
};

const manifest: Record<string, CommandEntry> = {
  annotate: entry(
    "Say for which platform an image of a list is",
    () => import("./manifest/annotate.ts"),
  ),
  create: entry(
    "Begin a list of images that one name shall stand for",
    () => import("./manifest/create.ts"),
  ),
  inspect: entry("Show an image manifest or a list of them", () => import("./manifest/inspect.ts")),
  push: entry("Push a list to its registry", () => import("./manifest/push.ts")),
  rm: entry("Remove lists that have been begun here", () => import("./manifest/rm.ts")),
};

const system: Record<string, CommandEntry> = {
  df: entry("Show disk usage", () => import("./system/df.ts")),
  "dial-stdio": entry(
    "Connect standard streams to the daemon",
    () => import("./system/dial-stdio.ts"),
  ),
  events: entry("Show events as they happen", () => import("./system/events.ts")),
  info: entry("Show what the daemon says of itself", () => import("./system/info.ts")),
  prune: entry("Remove unused data", () => import("./system/prune.ts")),
};

const volume: Record<string, CommandEntry> = {
  clone: entry("Copy a volume", () => import("./volume/clone.ts")),
  create: entry("Create a volume", () => import("./volume/create.ts")),
  export: entry("Write a volume as a tar archive", () => import("./volume/export.ts")),
  import: entry("Make a volume of a tar archive", () => import("./volume/import.ts")),
  inspect: entry("Show details of volumes", () => import("./volume/inspect.ts")),
  ls: entry("List volumes", () => import("./volume/ls.ts")),
  prune: entry("Remove unused volumes", () => import("./volume/prune.ts")),
  rm: entry("Remove volumes", () => import("./volume/rm.ts")),
  update: entry("Update a volume (cluster volumes only)", () => import("./volume/update.ts")),
};

const network: Record<string, CommandEntry> = {
  connect: entry("Connect a container to a network", () => import("./network/connect.ts")),
  create: entry("Create a network", () => import("./network/create.ts")),
  disconnect: entry(
    "Disconnect a container from a network",
    () => import("./network/disconnect.ts"),
  ),
  explain: entry(
    "Say why a port of a container is reachable, or is not",
    () => import("./network/explain.ts"),
  ),
  inspect: entry("Show details of networks", () => import("./network/inspect.ts")),
  ls: entry("List networks", () => import("./network/ls.ts")),
  prune: entry("Remove unused networks", () => import("./network/prune.ts")),
  rm: entry("Remove networks", () => import("./network/rm.ts")),
};

const context: Record<string, CommandEntry> = {
  create: entry("Create a context", () => import("./context/create.ts")),
  export: entry("Write a context to an archive", () => import("./context/export.ts")),
  import: entry("Read a context from an archive", () => import("./context/import.ts")),
  inspect: entry("Show details of contexts", () => import("./context/inspect.ts")),
  ls: entry("List contexts", () => import("./context/ls.ts")),
  rm: entry("Remove contexts", () => import("./context/rm.ts")),
  show: entry("Print the current context's name", () => import("./context/show.ts")),
  update: entry("Change a context", () => import("./context/update.ts")),
  use: entry("Set the current context", () => import("./context/use.ts")),
};

const bake = entry("Build several targets of a file", () => import("./build/bake/bake.ts"));
const builder: Record<string, CommandEntry> = {
  bake,
  build,
  "dial-stdio": entry(
    "Connect standard streams to the builder",
    () => import("./build/builder-dial.ts"),
  ),
  du: entry("Show what the build cache takes", () => import("./build/du.ts")),
  inspect: entry("Show the builder", () => import("./build/builder-inspect.ts")),
  ls: entry("List builders", () => import("./build/builder-ls.ts")),
  prune: entry("Remove what the build cache does not need", () => import("./build/prune.ts")),
  rm: entry("Remove builders", () => import("./build/builder-rm.ts")),
  stop: entry("Stop the builder", () => import("./build/builder-stop.ts")),
  use: entry("Choose the builder", () => import("./build/builder-use.ts")),
  version: entry(
    "Show the version of the builder's commands",
    () => import("./build/builder-version.ts"),
  ),
};
const history: Record<string, CommandEntry> = {
  inspect: entry("Show a build", () => import("./build/history-inspect.ts")),
  logs: entry("Show what a build said", () => import("./build/history-logs.ts")),
  ls: entry("List builds", () => import("./build/history-ls.ts")),
  rm: entry("Forget builds", () => import("./build/history-rm.ts")),
};
const historyInspect: Record<string, CommandEntry> = {
  attachment: entry("Show how a build was made", () => import("./build/history-attachment.ts")),
};
const imagetools: Record<string, CommandEntry> = {
  create: entry(
    "Create an image of others that are in registries",
    () => import("./imagetools/create.ts"),
  ),
  inspect: entry("Show details of an image in a registry", () => import("./imagetools/inspect.ts")),
};
const cacheMount: Record<string, CommandEntry> = {
  export: entry("Write a cache mount to an archive", () => import("./build/cache-mount-export.ts")),
  import: entry("Fill a cache mount", () => import("./build/cache-mount-import.ts")),
  inspect: entry("Show cache mounts", () => import("./build/cache-mount-inspect.ts")),
  ls: entry("List cache mounts", () => import("./build/cache-mount-ls.ts")),
  rm: entry("Remove cache mounts", () => import("./build/cache-mount-rm.ts")),
};
const builderGroup: CommandGroup = {
  short: "Manage builds",
  commands: builder,
  flags: BUILDER_NAME_FLAGS,
  groups: {
    "cache-mount": {
      short: "Manage the folders of RUN --mount=type=cache",
      commands: cacheMount,
      aliases: { list: "ls", remove: "rm" },
    },
    history: {
      short: "Manage what is known of builds",
      commands: history,
      groups: { inspect: { short: "Show a build", commands: historyInspect, aliases: {} } },
      aliases: {},
      flags: BUILDER_NAME_FLAGS,
    },
    imagetools: {
      short: "Work on images in registries",
      commands: imagetools,
      aliases: {},
      flags: BUILDER_NAME_FLAGS,
    },
  },
  aliases: { b: "build", f: "bake" },
};

const ls = { list: "ls" };
export const GROUPS: Record<string, CommandGroup> = {
  builder: builderGroup,
  buildx: builderGroup,
  container: {
    short: "Manage containers",
    commands: container,
    aliases: { ...ls, ps: "ls", remove: "rm" },
  },
  context: { short: "Manage contexts", commands: context, aliases: { ...ls, remove: "rm" } },
  image: { short: "Manage images", commands: image, aliases: { ...ls, remove: "rm" } },
  manifest: { short: "Manage manifests and lists of them", commands: manifest, aliases: {} },
  network: { short: "Manage networks", commands: network, aliases: { ...ls, remove: "rm" } },
  checkpoint: checkpointGroup,
  plugin: pluginGroup,
  system: { short: "Manage the daemon", commands: system, aliases: {} },
  volume: { short: "Manage volumes", commands: volume, aliases: { ...ls, remove: "rm" } },
  ...swarmGroups(),
};

export function isGroup(name: string): boolean {
  return Object.hasOwn(GROUPS, name);
}

const { ls: ps, prune: _containerPrune, inspect: _inspect, ...plainContainer } = container;
const { ls: images, rm: rmi, inspect: _, prune: _prune, ...mostOfImage } = image;
const {
  bootstrap: _bootstrap,
  referrers: _referrers,
  verify: _verify,
  ...plainImage
} = mostOfImage;

/** The commands that need no group. */
export const ROOT_COMMANDS: Record<string, CommandEntry> = {
  ...plainContainer,
  ...plainImage,
  bake,
  ps: ps!,
  images: images!,
  rmi: rmi!,
  info: system["info"]!,
  events: system["events"]!,
  explain: entry(
    "Say what a run would do, what a container has, or why it ended",
    () => import("./explain/explain.ts"),
  ),
  cgls: entry(
    "Show the containers' cgroups and their processes as a tree",
    () => import("./cgroup/cgls.ts"),
  ),
  cgtop: entry("Show which containers' cgroups use most, live", () => import("./cgroup/cgtop.ts")),
  completion: entry(
    "Print the script that completes command lines in a shell",
    () => import("./completion.ts"),
  ),
  login: entry("Log in to a registry", () => import("./registry/login.ts")),
  logout: entry("Log out from a registry", () => import("./registry/logout.ts")),
  search: entry("Search a registry for images", () => import("./registry/search.ts")),
  inspect: entry(
    "Show details of containers, images and the rest",
    () => import("./system/inspect.ts"),
  ),
  version: entry("Show the versions of client and daemon", () => import("./system/version.ts")),
};

const COMMON = [
  "run",
  "exec",
  "ps",
  "build",
  "pull",
  "push",
  "images",
  "login",
  "logout",
  "search",
  "version",
  "info",
];

/** What the program's help lists. */
export function rootEntries(): RootEntry[] {
  const common = COMMON.filter((name) => ROOT_COMMANDS[name]);
  const entries: RootEntry[] = common.map((name) => ({
    name,
    short: ROOT_COMMANDS[name]!.short,
    section: "common",
  }));
  for (const [name, { short }] of Object.entries(GROUPS)) {
    entries.push({ name, short, section: "management" });
  }
  entries.push({ name: "daemon", short: "Run the daemon", section: "management" });
  entries.push({ name: "registry", short: "Run a registry of images", section: "management" });
  for (const name of Object.keys(ROOT_COMMANDS).sort()) {
    if (common.includes(name)) continue;
    entries.push({ name, short: ROOT_COMMANDS[name]!.short, section: "other" });
  }
  return entries;
}
