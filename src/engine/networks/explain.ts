// Why a container's port is or is not reachable, over all its networks. The verdict is the worst
// of the lines.

import type { ExplainLine } from "../../network/index.ts";
import { containerOf } from "../containers/host-config.ts";
import { parsePort } from "../containers/publish-requests.ts";
import type { EngineContext } from "../context.ts";

export interface Explanation {
  container: string;
  /** "80/tcp"; absent: every published port. */
  port?: string;
  reachable: boolean;
  lines: ExplainLine[];
}

export async function explainPort(
  engine: EngineContext,
  ref: string,
  wanted?: string,
): Promise<Explanation> {
  const c = engine.containers.find(ref);
  const port = wanted ? parsePort(wanted) : undefined;
  const lines = await linesOf(engine, c.id, port);
  return {
    container: c.name,
    ...(port && { port: `${port.number}/${port.protocol}` }),
    reachable: lines.every(({ verdict }) => verdict !== "bad"),
    lines,
  };
}

async function linesOf(
  engine: EngineContext,
  id: string,
  port: ReturnType<typeof parsePort> | undefined,
): Promise<ExplainLine[]> {
  const c = engine.containers.find(id);
  const { run } = c;
  if (!run) {
    const says = `the container ${c.name} does not run`;
    return [{ about: "container", verdict: "bad", says, fix: `gantry start ${c.name}` }];
  }
  const running: ExplainLine = { about: "container", verdict: "ok", says: `it runs (${run.pid})` };
  const mode = c.hostConfig.NetworkMode ?? "";
  const other = containerOf(mode);
  if (other !== undefined) {
    const says = `it shares the network of container ${other}`;
    const fix = `gantry network explain ${other}`;
    return [running, { about: "network", verdict: "bad", says, fix }];
  }
  if (run.attachments.length === 0) {
    if (mode === "host") {
      const says = "it is on the host's own network: its ports are the host's";
      return [running, { about: "network", verdict: "note", says }];
    }
    const fix = "gantry network connect NETWORK CONTAINER";
    const says = "it is on no network";
    return [running, { about: "network", verdict: "bad", says, fix }];
  }
  // Its ports are published on one of its networks; the others are for its neighbours.
  const record = run.attachments.find(({ ports }) => ports.length > 0) ?? run.attachments[0]!;
  const found = await engine.network.explain({ record, pid: run.pid, ...(port && { port }) });
  return [running, ...found];
}
