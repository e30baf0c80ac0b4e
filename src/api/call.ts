// What a handler gets: everything of the request, parsed once by the row of the route table.

import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import type { EngineDoors } from "../engine/index.ts";
import type { ApiVersion, QuerySpec, QueryValues, Routes, Schema } from "../protocol/index.ts";
import type { RequestGuard } from "./guard.ts";
import type { Reply } from "./reply.ts";

type QueryOf<R> = R extends { query: infer Q extends QuerySpec } ? QueryValues<Q> : object;
type BodyOf<R> = R extends { body: "stream" }
  ? Readable
  : R extends { body: Schema<infer T> }
    ? T | undefined
    : undefined;

export interface Call<R> {
  params: Readonly<Record<string, string>>;
  query: QueryOf<R>;
  body: BodyOf<R>;
  version: ApiVersion;
  headers: IncomingHttpHeaders;
  /** Aborted when the client is gone before the answer is complete. */
  signal: AbortSignal;
  /** The client asked for `Upgrade:` (else a hijack is plain). */
  upgrade: boolean;
}
export type Handler<N extends keyof Routes> = (call: Call<Routes[N]>) => Promise<Reply> | Reply;
export type Handlers = { readonly [N in keyof Routes]: Handler<N> };
export type SomeHandlers = { readonly [N in keyof Routes]?: Handler<N> };

/** Facts of this daemon that answers mention. */
export interface ApiOptions {
  engine: EngineDoors;
  /** For the Server header: "0.1.0". */
  serverVersion: string;
  minApiVersion?: string;
  experimental?: boolean;
  /** Feature `buildkit` of the daemon: which builder clients choose by themselves. */
  prefersBuildkit?: () => boolean;
  guard?: RequestGuard;
}
