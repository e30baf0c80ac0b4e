// Where the names come from that a command line may go on with: the daemon's lists, the client's
// configuration, or a fixed list. A daemon that does not answer offers nothing; none is started.

import type { Session } from "../session.ts";
import type { Words } from "./locate.ts";

export interface Candidate {
  value: string;
  description?: string;
}
export interface Asked {
  session: Session;
  words: Words;
  prefix: string;
}
export type Source = (asked: Asked) => Promise<Candidate[]>;

/** What the shell does when it has no candidate, in cobra's numbers. */
export const DIRECTIVE = {
  files: 0,
  error: 1,
  noSpace: 2,
  noFiles: 4,
  fileEndings: 8,
  folders: 16,
  keepOrder: 32,
} as const;

export interface Rule {
  source?: Source;
  directive?: number;
}

export const words = (...values: readonly string[]): Source => {
  const candidates = values.map((value) => ({ value }));
  return () => Promise.resolve(candidates);
};

/** The candidates of several sources, in their order. */
export const anyOf =
  (...sources: readonly Source[]): Source =>
  async (asked) =>
    (await Promise.all(sources.map((source) => source(asked)))).flat();

interface ContainerFact {
  Id: string;
  Names: string[] | null;
  Image: string;
  State: string;
  Status: string;
}

/** Containers in one of the states; every one where none is given. */
export const containers =
  (...states: readonly string[]): Source =>
  async ({ session }) => {
    const client = await session.client();
    const all = await client.json<ContainerFact[]>("GET", "/containers/json", {
      query: { all: true },
    });
    const fitting = all.filter(({ State }) => states.length === 0 || states.includes(State));
    const withIds = session.io.env["DOCKER_COMPLETION_SHOW_CONTAINER_IDS"] === "yes";
    return fitting.flatMap(({ Id, Names, Image, Status }) => {
      const description = `${Image}, ${Status}`;
      // Names with another slash are aliases that links made.
      const names = (Names ?? [])
        .map((name) => name.replace(/^\//, ""))
        .filter((name) => !name.includes("/"));
      return [...(withIds ? [Id.slice(0, 12)] : []), ...names].map((value) => ({
        value,
        description,
      }));
    });
  };

export const images: Source = async ({ session }) => {
  const client = await session.client();
  const all = await client.json<{ RepoTags: string[] | null }[]>("GET", "/images/json");
  const tags = all.flatMap(({ RepoTags }) => RepoTags ?? []);
  return tags.filter((tag) => tag !== "<none>:<none>").map((value) => ({ value }));
};

export const networks: Source = async ({ session }) => {
  const client = await session.client();
  const all = await client.json<{ Name: string; Driver: string }[]>("GET", "/networks");
  return all.map(({ Name, Driver }) => ({ value: Name, description: Driver }));
};

/** The containers that a network named before has. */
export const containersOfNetwork: Source = async ({ session, words: { args } }) => {
  const client = await session.client();
  const path = `/networks/${encodeURIComponent(args[0] ?? "")}`;
  const found = await client.json<{ Containers?: Record<string, { Name: string }> }>("GET", path);
  return Object.values(found.Containers ?? {}).map(({ Name }) => ({ value: Name }));
};

export const volumes: Source = async ({ session }) => {
  const client = await session.client();
  const { Volumes } = await client.json<{ Volumes: { Name: string; Driver: string }[] | null }>(
    "GET",
    "/volumes",
  );
  return (Volumes ?? []).map(({ Name, Driver }) => ({ value: Name, description: Driver }));
};

export const contexts: Source = ({ session }) => {
  const current = session.contextName;
  const stored = session.contexts.list().map(({ Name, Metadata }) => ({
    value: Name,
    description: Name === current ? "current" : (Metadata.Description ?? ""),
  }));
  const own = { value: "default", description: current === "default" ? "current" : "" };
  return Promise.resolve([own, ...stored]);
};

/** Registries that the configuration has a login for. */
export const registries: Source = ({ session }) =>
  Promise.resolve(Object.keys(session.config.auths ?? {}).map((value) => ({ value })));

/** "web:" and so on, for `cp`. */
export const containerPaths: Source = async (asked) => {
  if (asked.prefix.includes("/") || asked.prefix.includes(":")) return [];
  const found = await containers()(asked);
  return found.map(({ value, description }) => ({
    value: `${value}:`,
    ...(description ? { description } : {}),
  }));
};

/** "name:" of a volume that -v begins with; else a path of the caller's. */
export const volumeSources: Source = async (asked) => {
  if (/[/:.]/.test(asked.prefix)) return [];
  return (await volumes(asked)).map(({ value }) => ({ value: `${value}:` }));
};

export const environmentNames: Source = ({ session }) =>
  Promise.resolve(Object.keys(session.io.env).map((value) => ({ value })));

/** Targets and groups of the bake files here, or of those that --file names. */
export const bakeTargets: Source = async ({ session, words: { flags } }) => {
  const { readBakeFiles } = await import("../commands/build/bake/files.ts");
  const config = await readBakeFiles(session.io, flags.get("file") ?? [], {});
  return [
    ...[...config.groups.keys()].map((value) => ({ value, description: "group" })),
    ...[...config.targets.keys()].map((value) => ({ value, description: "target" })),
  ];
};
