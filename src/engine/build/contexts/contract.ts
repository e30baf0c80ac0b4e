// What the parts of a build say to one another about contexts: where a context's files are, what is
// known of each without reading it, and how much of all that is kept between builds.

import type { Root } from "../../../build/index.ts";
import type { Lease } from "../../../storage/index.ts";
import type { EngineContext } from "../../context.ts";
import type { BuildReporter, OpenContext, VertexReport } from "../job.ts";
import type { Workspace } from "../workspace.ts";
import type { GitSecrets } from "./git-access.ts";
import type { ContextStore } from "./store.ts";

export type { OpenContext };

export interface ContextPlace {
  engine: EngineContext;
  /** The build's own folder; what is opened is known to its workers by name. */
  workspace: Workspace;
  /** What is kept between builds; one an engine. */
  store: ContextStore;
  /** Keeps the layers that are contexts (images) as long as the build. */
  lease: Lease;
  /** Finds an image that is a context (`docker-image://…`). */
  image?(reference: string, o: { signal: AbortSignal }): Promise<Root>;
  /** Secrets for git: GIT_AUTH_TOKEN, GIT_AUTH_HEADER, each also as NAME.host. */
  secret?: GitSecrets["secret"];
  /** The client's ssh agent, for git over ssh; undefined where it forwards none. */
  sshAgent?: GitSecrets["sshAgent"];
}

export interface ContextWish {
  /** The name that the build's graph uses: "" is the main context. */
  name: string;
  /** Patterns of .dockerignore's kind (see session.ts). */
  include?: readonly string[];
  exclude?: readonly string[];
  followPaths?: readonly string[];
  /** Tells of the transfer: as a vertex of its own, or in one that is there. */
  reporter?: BuildReporter | undefined;
  vertex?: VertexReport | undefined;
  signal: AbortSignal;
}
