// bench.ts --only networks: what a network, sixty-four ports and the five hundredth endpoint cost,
// ours and dockerd's, over the API; and bytes a second between containers and from the host to a
// published port, against a raw veth pair and DNAT by hand (with iperf3, if it is here).

import { existsSync } from "node:fs";
import { IMAGE } from "../e2e/harness.ts";
import { run } from "../e2e/process.ts";
import { ApiSequence } from "./api-sequence.ts";
import type { Engine } from "./engines.ts";
import { milliseconds, Samples, table, timed } from "./statistics.ts";

const PORTS = 64;
const FIRST_PORT = 21_000;
const EDGE = 20;
const IPERF_PORT = 5201;
const IPERF_SECONDS = "3";

type Result = Record<string, number>;

/** One row of figures for each engine that has a socket. */
export async function compareNetworks(
  engines: readonly Engine[],
  o: { runs: number; endpoints: number },
): Promise<Record<string, unknown>> {
  const results: Record<string, Result> = {};
  const seen = new Set<string>();
  for (const engine of engines) {
    if (engine.socket === undefined || seen.has(engine.socket)) continue;
    seen.add(engine.socket);
    const api = new Bench(engine.socket);
    try {
      results[engine.name] = {
        ...(await networkCosts(api, o.runs)),
        ...(await portCosts(api, o.runs)),
        ...(engine.name === "gantry" ? await endpointCosts(api, o.endpoints) : {}),
        ...(await throughput(api, engine)),
      };
    } finally {
      api.close();
    }
  }
  const names = [...new Set(Object.values(results).flatMap((result) => Object.keys(result)))];
  const rows = [["networks", ...Object.keys(results)]];
  for (const name of names) {
    const cells = Object.values(results).map((result) =>
      result[name] === undefined ? "–" : milliseconds(result[name]),
    );
    rows.push([name, ...cells]);
  }
  console.log(`${table(rows)}\n`);
  return results;
}

class Bench extends ApiSequence {
  #number = 0;

  async network(): Promise<string> {
    const body = { Name: `bench-${process.pid}-${++this.#number}` };
    return JSON.parse(await this.call("POST", "/networks/create", 201, body)).Id;
  }
  async create(config: object): Promise<string> {
    const body = { Image: IMAGE, Cmd: ["sleep", "3600"], ...config };
    return JSON.parse(await this.call("POST", "/containers/create", 201, body)).Id;
  }
  start(id: string): Promise<unknown> {
    return this.call("POST", `/containers/${id}/start`, 204);
  }
  remove(id: string): Promise<unknown> {
    return this.call("DELETE", `/containers/${id}?force=1`, 204);
  }
  async pid(id: string): Promise<string> {
    return String(JSON.parse(await this.call("GET", `/containers/${id}/json`, 200)).State.Pid);
  }
}

async function networkCosts(api: Bench, runs: number): Promise<Result> {
  const samples = new Samples();
  // Private pools hold some thirty networks at docker's default.
  for (let n = 0; n < Math.min(runs, EDGE); n++) {
    let id = "";
    await timed(samples, async () => (id = await api.network()));
    await api.call("DELETE", `/networks/${id}`, 204);
  }
  return { "network create, ms": samples.p50 };
}

/** The start of a container with ports, less one without. */
async function portCosts(api: Bench, runs: number): Promise<Result> {
  const PortBindings = Object.fromEntries(
    Array.from({ length: PORTS }, (_, n) => [
      `${FIRST_PORT + n}/tcp`,
      [{ HostPort: String(FIRST_PORT + n) }],
    ]),
  );
  const ExposedPorts = Object.fromEntries(Object.keys(PortBindings).map((port) => [port, {}]));
  const [without, withPorts] = [new Samples(), new Samples()];
  for (let n = 0; n < Math.min(runs, EDGE); n++) {
    for (const [samples, config] of [
      [without, {}],
      [withPorts, { ExposedPorts, HostConfig: { PortBindings } }],
    ] as const) {
      const id = await api.create(config);
      await timed(samples, () => api.start(id));
      await api.remove(id);
    }
  }
  return { [`start with ${PORTS} ports more, ms`]: Math.max(0, withPorts.p50 - without.p50) };
}

/** Starts on one network of its own: the first ones and the last ones of many. */
async function endpointCosts(api: Bench, count: number): Promise<Result> {
  const network = await api.network();
  const ids: string[] = [];
  const [first, last] = [new Samples(), new Samples()];
  for (let n = 0; n < count; n++) {
    const id = await api.create({ HostConfig: { NetworkMode: network } });
    ids.push(id);
    const edge = n < EDGE ? first : n >= count - EDGE ? last : new Samples();
    await timed(edge, () => api.start(id));
  }
  for (const id of ids) await api.remove(id);
  await api.call("DELETE", `/networks/${network}`, 204);
  return {
    "start of the first, ms": first.p50,
    [`start of number ${count}, ms`]: last.p50,
    "ratio of the two": last.p50 / first.p50,
  };
}

/** Gbit/s. The server runs in the container's namespace; the image need not have it. */
async function throughput(api: Bench, engine: Engine): Promise<Result> {
  if (!existsSync("/usr/bin/iperf3")) return {};
  const [daemon] = await engine.daemonPids();
  const port = `${IPERF_PORT}/tcp`;
  const PortBindings = { [port]: [{ HostPort: String(IPERF_PORT) }] };
  const server = await api.create({ ExposedPorts: { [port]: {} }, HostConfig: { PortBindings } });
  const client = await api.create({});
  for (const id of [server, client]) await api.start(id);
  const [to, from] = [await api.pid(server), await api.pid(client)];
  const text = await api.call("GET", `/containers/${server}/json`, 200);
  const { IPAddress, Gateway } = Object.values(JSON.parse(text).NetworkSettings.Networks)[0] as {
    IPAddress: string;
    Gateway: string;
  };
  await inNamespace(to, "iperf3", "-s", "-D", "-p", String(IPERF_PORT));
  const neighbours = await measure(from, IPAddress);
  const published = await measure(String(daemon), Gateway);
  const direct = await measure(String(daemon), IPAddress);
  for (const id of [server, client]) await api.remove(id);
  return {
    "container to container, Gbit/s": neighbours,
    "host to published port, Gbit/s": published,
    "host to container, a raw veth pair, Gbit/s": direct,
  };
}

async function measure(pid: string, host: string): Promise<number> {
  const args = ["-c", host, "-p", String(IPERF_PORT), "-t", IPERF_SECONDS, "-J"];
  const { stdout } = await inNamespace(pid, "iperf3", ...args);
  return JSON.parse(stdout).end.sum_received.bits_per_second / 1e9;
}

const inNamespace = (pid: string, ...command: string[]) =>
  run("/usr/bin/nsenter", ["-t", pid, "-n", "--", ...command]);
