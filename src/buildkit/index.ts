// BuildKit's protocols over the engine: what `docker buildx`, compose and our own command line
// speak. Everything behind the two connections is loaded when the first client comes.

import type { Duplex } from "node:stream";
import type { Logger } from "../base/index.ts";
import type { EngineDoors } from "../engine/index.ts";
import type { OldBuildRequest } from "./old-build.ts";

export type { OldBuildRequest } from "./old-build.ts";

export interface BuildkitOptions {
  engine: EngineDoors;
  log: Logger;
  serverVersion: string;
}

/** Takes a connection that speaks HTTP/2 from now on; resolves when it has ended. */
export type TakeConnection = (socket: Duplex) => Promise<void>;

export interface Buildkit {
  /** `POST /session`: the client offers what its builds need, the daemon calls. Throws invalid. */
  session(headers: (name: string) => readonly string[]): Promise<TakeConnection>;
  /** `POST /grpc`: the client calls. */
  grpc(): Promise<TakeConnection>;
  /** `POST /build` of version 2: docker's stream of messages. */
  build(request: OldBuildRequest, o: { signal: AbortSignal }): AsyncIterable<BuildMessage>;
}
type BuildMessage = Record<string, unknown>;

export function openBuildkit(options: BuildkitOptions): Buildkit {
  let loading: Promise<Buildkit> | undefined;
  const load = (): Promise<Buildkit> => {
    loading ??= import("./service.ts").then(({ buildkitService }) => buildkitService(options));
    return loading;
  };
  return {
    session: async (headers) => await (await load()).session(headers),
    grpc: async () => await (await load()).grpc(),
    build: async function* (request, o) {
      yield* (await load()).build(request, o);
    },
  };
}
