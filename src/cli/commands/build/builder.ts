// The daemon's builder as this side speaks to it: the control service on a connection of its own.

import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { control } from "../../../gen/buildkit/index.ts";
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
  internal: boolean;
}

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
        ref: request.ref,
        session: request.sessionId,
        frontend: "dockerfile.v0",
        frontendAttrs: request.attrs,
        exporters: request.exporters.map(({ type, attrs }) => ({ type, attrs })),
        cache: { imports: [...request.cacheFrom], exports: [...request.cacheTo] },
        entitlements: [...request.entitlements],
        internal: request.internal,
      },
      o,
    );
    return exporterResponse;
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

export async function openBuilder(session: Session): Promise<Builder> {
  const client = await session.client();
  const { stream } = await client.hijack("/grpc", { upgrade: "h2c" });
  return new Builder(stream);
}

/** As buildx names builds: 25 letters and digits. */
export function newRef(): string {
  const digits = BigInt(`0x${randomBytes(17).toString("hex")}`).toString(36);
  return digits.padStart(25, "0").slice(0, 25);
}
