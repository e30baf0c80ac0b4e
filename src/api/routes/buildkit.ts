// Handlers of /session and /grpc: connections that BuildKit's clients take over.

import { GantryError } from "../../base/index.ts";
import type { Buildkit } from "../../buildkit/index.ts";
import type { Call, SomeHandlers } from "../call.ts";
import type { Reply } from "../reply.ts";

const PROTOCOL = "h2c";

export const buildkitHandlers = (buildkit: Buildkit) =>
  ({
    session: async (call) => {
      requireUpgrade(call);
      const { headers } = call;
      const take = await buildkit.session((name) => [headers[name] ?? []].flat());
      return tunnel(take);
    },

    grpc: async (call) => {
      requireUpgrade(call);
      return tunnel(await buildkit.grpc());
    },
  }) satisfies SomeHandlers;

const tunnel = (take: Extract<Reply, { kind: "tunnel" }>["take"]): Reply => ({
  kind: "tunnel",
  protocol: PROTOCOL,
  take,
});

function requireUpgrade({ headers }: Pick<Call<unknown>, "headers">): void {
  const { upgrade } = headers;
  if (!upgrade) throw new GantryError("invalid", "no upgrade proto in request");
  if (upgrade === PROTOCOL) return;
  throw new GantryError("invalid", `protocol ${upgrade} not supported`);
}
