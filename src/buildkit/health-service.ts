// grpc.health.v1: a client that asks gets an answer, so everything is well.

import type { ServiceImpl } from "@connectrpc/connect";
import { health } from "../gen/buildkit/index.ts";

const status = health.HealthCheckResponse_ServingStatus.SERVING;

export const healthService: ServiceImpl<typeof health.Health> = {
  check: () => ({ status }),
  watch: async function* (_request, { signal }) {
    yield { status };
    await new Promise<void>((resolve) => {
      if (signal.aborted) return resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  },
};
