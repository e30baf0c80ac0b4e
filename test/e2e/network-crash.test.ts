// kill -9 of the daemon at random moments while networks and containers come and go. After its
// restart interfaces, addresses, nftables elements and names are exactly what the records say; and
// what was changed element by element is what is made whole from the records. Two hundred cycles
// with GANTRY_CRASH_CYCLES=200 GANTRY_CRASH_SEED=random; a failure names its seed.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { KernelNetwork } from "../support/kernel-network.ts";
import { askApi } from "../support/unix-api.ts";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const CYCLES = Number(process.env["GANTRY_CRASH_CYCLES"] ?? 4);
const ASKED = process.env["GANTRY_CRASH_SEED"] ?? "7";
const SEED = ASKED === "random" ? Date.now() % 1_000_000 : Number(ASKED);
const KILLED_WITHIN_MS = 120;
const LISTEN_TURNS = 200;
const TABLE = "gantry_gantry0";
const NETWORKS = ["n0", "n1", "n2"];
const BOXES = ["b0", "b1", "b2", "b3"];
const PORT_FIRST = 8600;

interface Endpoint {
  IPAddress: string;
  IPPrefixLen: number;
  MacAddress: string;
}
interface Running {
  name: string;
  id: string;
  pid: number;
  endpoints: Record<string, Endpoint>;
  ports: string[];
}

describe("networks through crashes", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  let kernel: KernelNetwork;
  let random = mulberry(SEED);
  const below = (n: number): number => Math.floor(random() * n);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;

  before(async () => {
    daemon = await startDaemon();
    kernel = await KernelNetwork.of(daemon.holderPid);
    random = mulberry(SEED);
    for (const name of NETWORKS) await daemon.ok("network", "create", name);
    for (const [index, name] of BOXES.entries()) {
      const port = `${PORT_FIRST + index}:80`;
      const flags = ["--name", name, "--network", NETWORKS[index % 2]!, "-p", port];
      // Names that nobody has are asked for where nobody answers, at once.
      await daemon.ok("create", ...flags, "--dns", "127.0.0.1", IMAGE, "listen", "tcp", "80");
    }
  });
  after(async () => {
    await kernel[Symbol.asyncDispose]();
    await daemon.stop();
  });

  const box = (name: string) => daemon.dockerode.getContainer(name);
  /** What is refused, or cut off, is not of interest: only what is left of it. */
  const act = async (): Promise<void> => {
    const name = pick(BOXES);
    const network = daemon.dockerode.getNetwork(pick(NETWORKS));
    const deeds = [
      () => box(name).start(),
      () => box(name).start(),
      () => box(name).stop({ t: 0 }),
      () => box(name).restart({ t: 0 }),
      () =>
        // Dockerode's types do not know GwPriority yet.
        network.connect({
          Container: name,
          EndpointConfig: { Aliases: ["any"], GwPriority: below(3) } as object,
        }),
      () => network.connect({ Container: name }),
      () => network.disconnect({ Container: name }),
    ];
    await pick(deeds)().catch(() => {});
  };

  async function running(): Promise<Running[]> {
    const found: Running[] = [];
    for (const name of BOXES) {
      const { Id, State, NetworkSettings } = await box(name).inspect();
      if (!State.Running) continue;
      const ports = Object.values(NetworkSettings.Ports ?? {}).flatMap((list) =>
        (list ?? []).map(({ HostPort }) => HostPort),
      );
      const endpoints = NetworkSettings.Networks as unknown as Record<string, Endpoint>;
      found.push({ name, id: Id, pid: State.Pid, endpoints, ports: [...new Set(ports)] });
    }
    return found;
  }

  async function checkAll(when: string): Promise<void> {
    const boxes = await running();
    const why = `${when}, seed ${SEED}`;
    await checkInterfaces(boxes, why);
    await checkPorts(boxes, why);
    await checkNames(boxes, why);
    await checkLeases(boxes, why);
  }

  async function checkInterfaces(boxes: readonly Running[], why: string): Promise<void> {
    const wanted = boxes.flatMap(({ endpoints }) => Object.keys(endpoints));
    const veths = [...(await kernel.links()).keys()].filter((name) => name.startsWith("veth"));
    assert.equal(veths.length, wanted.length, `${veths.join()} for ${wanted.join()}: ${why}`);
    for (const { name, pid, endpoints } of boxes) {
      await using inside = await KernelNetwork.of(pid);
      const addresses = [...(await inside.links())]
        .filter(([link]) => link !== "lo")
        .flatMap(([, list]) => list)
        .sort();
      const expected = Object.values(endpoints).map((e) => `${e.IPAddress}/${e.IPPrefixLen}`);
      assert.deepEqual(addresses, expected.sort(), `addresses of ${name}: ${why}`);
      const routes = await readFile(`/proc/${pid}/net/route`, "utf8");
      const defaults = routes.split("\n").filter((line) => line.split("\t")[1] === "00000000");
      assert.equal(defaults.length, Math.min(1, expected.length), `routes of ${name}: ${why}`);
    }
  }

  /** One element a published port (any4), and nothing for those that do not run. */
  async function checkPorts(boxes: readonly Running[], why: string): Promise<void> {
    const elements = await kernel.elements(TABLE);
    const forwarded = elements.filter((element) => element.startsWith("any4 "));
    const wanted = boxes.filter(({ endpoints }) => Object.keys(endpoints).length > 0);
    assert.equal(forwarded.length, wanted.length, `${forwarded.join()}: ${why}`);
    for (const [index, name] of BOXES.entries()) {
      const published = wanted.find((one) => one.name === name);
      if (published) assert.deepEqual(published.ports, [String(PORT_FIRST + index)], why);
      const port = String(PORT_FIRST + index);
      const answers = async () => {
        const { stdout } = await daemon.onHost("connect", "tcp", "127.0.0.1", port, "2000");
        return /hello/.test(stdout);
      };
      let isThere = await answers();
      // Its program has been started, which is not to say that it listens by now.
      for (let turn = 0; published && !isThere && turn < LISTEN_TURNS; turn++) {
        await delay(50);
        isThere = await answers();
      }
      assert.equal(isThere, published !== undefined, `port of ${name}: ${why}`);
    }
  }

  async function checkNames(boxes: readonly Running[], why: string): Promise<void> {
    await Promise.all(
      boxes.map(async ({ name, id, endpoints }) => {
        const mine = Object.keys(endpoints);
        if (mine.length === 0) return;
        const { stdout } = await daemon.client(["exec", id, "names", ...BOXES]);
        const said = stdout
          .trim()
          .split("\n")
          .map((line) => line.trim());
        const expected = BOXES.map((other) => {
          const known = boxes.find((one) => one.name === other)?.endpoints ?? {};
          const shared = Object.keys(known).filter((network) => mine.includes(network));
          return { other, addresses: shared.map((network) => known[network]!.IPAddress) };
        });
        for (const [index, { other, addresses }] of expected.entries()) {
          const [asked, ...answer] = said[index]?.split(" ") ?? [];
          const wrong = `${name} asks for ${other}: ${said[index]}, not ${addresses.join()}: ${why}`;
          assert.equal(asked, other, wrong);
          if (addresses.length === 0) assert.deepEqual(answer, ["-"], wrong);
          // Of several shared networks the first one that knows the name answers.
          else assert.ok(answer.length > 0 && answer.every((ip) => addresses.includes(ip)), wrong);
        }
      }),
    );
  }

  async function checkLeases(boxes: readonly Running[], why: string): Promise<void> {
    const all = boxes.flatMap(({ endpoints }) => Object.values(endpoints).map((e) => e.IPAddress));
    assert.equal(new Set(all).size, all.length, `an address twice: ${why}`);
    for (const name of NETWORKS) {
      const answer = await fetchStatus(name);
      const on = boxes.filter(({ endpoints }) => name in endpoints).length;
      // The subnet's own address, the gateway and the broadcast are nobody's.
      assert.equal(answer, 3 + on, `leases of ${name}: ${why}`);
    }
  }

  const fetchStatus = async (name: string): Promise<number> => {
    const shown = await askApi<{
      Status: { IPAM: { Subnets: Record<string, { IPsInUse: number }> } };
    }>(daemon.socket, `/v1.52/networks/${name}`);
    return Object.values(shown.Status.IPAM.Subnets)[0]!.IPsInUse;
  };

  test(`${CYCLES} crashes leave what the records say`, async (t) => {
    t.diagnostic(`seed ${SEED}`);
    for (let cycle = 1; cycle <= CYCLES; cycle++) {
      const work = Array.from({ length: 6 }, async () => {
        await delay(below(KILLED_WITHIN_MS));
        await act();
        await act();
      });
      await delay(below(KILLED_WITHIN_MS));
      await daemon.kill9();
      await Promise.all(work);
      await daemon.start();
      await checkAll(`after crash ${cycle}`);

      // At peace: what is changed step by step is what a restart makes of the records.
      for (let step = 0; step < 4; step++) await act();
      const before = await kernel.elements(TABLE);
      await daemon.kill9();
      await daemon.start();
      assert.deepEqual(await kernel.elements(TABLE), before, `cycle ${cycle}, seed ${SEED}`);
      await checkAll(`after peace ${cycle}`);
    }
  });
});

/** A small generator whose numbers a seed repeats. */
function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
