// Verbs that are one request without a body to each of several containers: stop, kill, pause …

import { defineFlags, type ParsedFlags } from "../../../base/index.ts";
import type { Query } from "../../../client/index.ts";
import type { Session } from "../../session.ts";
import { forEach, segment } from "../each.ts";

/** Asks for the verb of all at once; prints the names in their order, or why it failed. */
export async function postEach(
  session: Session,
  names: readonly string[],
  verb: string,
  query: Query = {},
): Promise<number> {
  const client = await session.client();
  const post = async (name: string) => {
    await client.empty("POST", `/containers/${segment(name)}/${verb}`, { query });
    return name;
  };
  return forEach(session, names, post, { parallel: true });
}

/** How stop and restart end a container. */
export const ENDING_FLAGS = defineFlags({
  signal: { type: "string", shorthand: "s", usage: "Signal to send" },
  timeout: {
    type: "int",
    shorthand: "t",
    aliases: ["time"],
    usage: "Seconds to wait before the container is killed",
  },
});

export function endingQuery({ values, changed }: ParsedFlags<typeof ENDING_FLAGS>): Query {
  return {
    signal: values.signal || undefined,
    t: changed.has("timeout") ? values.timeout : undefined,
  };
}
