// The daemon's builder as this side speaks to it: the control service on a connection of its own.

import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { GantryError } from "../../../base/index.ts";
import { content, control, gateway, type ops } from "../../../gen/buildkit/index.ts";
import type { Session } from "../../session.ts";
import { type Status, statusOf } from "./progress/status.ts";
import type { CacheRequest, Exporter } from "./request/solve.ts";
import { GrpcClient } from "./session/grpc-client.ts";

export interface SolveRequest {
  ref: string;
  sessionId: string;
  attrs: Record<string, string>;
  exporters: readonly Exporter[];
  cacheFrom: readonly CacheRequest[];
  cacheTo: readonly CacheRequest[];
  entitlements: readonly string[];
  inputs: Record<string, ops.Definition>;
  internal: boolean;
}

/** A build whose result others use as a context. */
export interface Hold {
  /** Called with the result, before it is built: a promise of it. */
  ready(result: ops.Definition): void;
  /** Resolves when nobody uses it any more. */
  released: Promise<unknown>;
  /** Whether the result is wanted for itself, too. */
  isWanted: boolean;
}

const FRONT_END = "dockerfile.v0";
const BUILD_ID = "buildkit-controlapi-buildid";

interface Signal {
  signal: AbortSignal;
}

export class Builder implements Disposable {
  readonly #client: GrpcClient;

  constructor(connection: Duplex) {
    this.#client = new GrpcClient(connection);
  }

  /** Resolves when the build is done; throws why it failed, with gRPC's details. */
  async solve(request: SolveRequest, o: Signal): Promise<Record<string, string>> {
    const { exporterResponse } = await this.#client.unary(
      control.Control.method.solve,
      {
        ...controlRequest(request),
        frontend: FRONT_END,
        frontendAttrs: request.attrs,
        frontendInputs: request.inputs,
      },
      o,
    );
    return exporterResponse;
  }

  /** The answer to a question about the Dockerfile (the attribute "requestid"). */
  async ask(request: SolveRequest, o: Signal): Promise<Record<string, string>> {
    const solving = this.#client.unary(control.Control.method.solve, controlRequest(request), o);
    solving.catch(() => {});
    const { solve, return: giveBack } = gateway.LLBBridge.method;
    const headers = { [BUILD_ID]: request.ref };
    const { result } = await this.#client.unary(solve, questionOf(request), { ...o, headers });
    await this.#client.unary(giveBack, { result: {} }, { ...o, headers });
    await solving;
    const metadata = Object.entries(result?.metadata ?? {});
    return Object.fromEntries(
      metadata.map(([name, value]) => [name, Buffer.from(value).toString("utf8")]),
    );
  }

  /** As buildx drives its builds: the front end is asked apart, its result returned at the end. */
  async solveHeld(request: SolveRequest, hold: Hold, o: Signal): Promise<Record<string, string>> {
    const solving = this.#client.unary(control.Control.method.solve, controlRequest(request), o);
    const failed = solving.then(() => {
      throw new GantryError("internal", "the build ended before its result was returned");
    });
    failed.catch(() => {});
    const { solve, return: giveBack } = gateway.LLBBridge.method;
    const headers = { [BUILD_ID]: request.ref };
    const question = {
      ...questionOf(request),
      allowResultReturn: true,
      allowResultArrayRef: true,
    };
    const asked = this.#client.unary(solve, question, { ...o, headers });
    const { result } = await Promise.race([asked, failed]);
    if (result?.result.case !== "ref" || !result.result.value.def) {
      throw new GantryError("internal", "the daemon gave no result that others could use");
    }
    hold.ready(result.result.value.def);
    await Promise.race([hold.released, failed]);
    const answer = { result: hold.isWanted ? result : {} };
    await this.#client.unary(giveBack, answer, { ...o, headers });
    return (await solving).exporterResponse;
  }

  async *status(ref: string, o: Signal): AsyncGenerator<Status, void, void> {
    for await (const one of this.#client.stream(control.Control.method.status, { ref }, o)) {
      yield statusOf(one);
    }
  }

  async diskUsage(
    request: MessageInitShape<typeof control.DiskUsageRequestSchema>,
    o: Signal,
  ): Promise<control.UsageRecord[]> {
    return (await this.#client.unary(control.Control.method.diskUsage, request, o)).record;
  }

  prune(request: MessageInitShape<typeof control.PruneRequestSchema>, o: Signal) {
    return this.#client.stream(control.Control.method.prune, request, o);
  }

  history(request: MessageInitShape<typeof control.BuildHistoryRequestSchema>, o: Signal) {
    return this.#client.stream(control.Control.method.listenBuildHistory, request, o);
  }

  /** A document that a record names. */
  async *content(digest: string, o: Signal): AsyncGenerator<Uint8Array, void, void> {
    const { read } = content.Content.method;
    for await (const { data } of this.#client.stream(read, { digest }, o)) yield data;
  }

  async forget(ref: string, o: Signal): Promise<void> {
    const request = { ref, delete: true };
    await this.#client.unary(control.Control.method.updateBuildHistory, request, o);
  }

  async workers(o: Signal) {
    return (await this.#client.unary(control.Control.method.listWorkers, {}, o)).record;
  }

  async info(o: Signal) {
    return (await this.#client.unary(control.Control.method.info, {}, o)).buildkitVersion;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

function questionOf({ attrs, inputs }: SolveRequest) {
  return { frontend: FRONT_END, frontendOpt: attrs, frontendInputs: inputs };
}

function controlRequest(request: SolveRequest) {
  return {
    ref: request.ref,
    session: request.sessionId,
    exporters: request.exporters.map(({ type, attrs }) => ({ type, attrs })),
    cache: { imports: [...request.cacheFrom], exports: [...request.cacheTo] },
    entitlements: [...request.entitlements],
    internal: request.internal,
  };
}

/** `timeout` is how long to wait for it, in nanoseconds; 0 is as long as it takes. */
export async function openBuilder(session: Session, timeout = 0): Promise<Builder> {
  const client = await session.client();
  const signal = timeout > 0 ? { signal: AbortSignal.timeout(timeout / 1e6) } : {};
  try {
    const { stream } = await client.hijack("/grpc", { upgrade: "h2c", ...signal });
    return new Builder(stream);
  } catch (cause) {
    if (!signal.signal?.aborted) throw cause;
    throw new GantryError("timeout", "the builder did not answer within --timeout", { cause });
  }
}

/** As buildx names builds: 25 letters and digits. */
export function newRef(): string {
  const digits = BigInt(`0x${randomBytes(17).toString("hex")}`).toString(36);
  return digits.padStart(25, "0").slice(0, 25);
}
