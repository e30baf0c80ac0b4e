// Applications of several containers: the calls that docker compose makes, in their shapes, without
// compose; that is in compose-plugin.test.ts.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type Docker from "dockerode";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const PROJECT = "shop";
const label = (name: string, value: string) => ({ [`com.docker.compose.${name}`]: value });
const ofProject = { "com.docker.compose.project": PROJECT };

describe("the calls that compose makes", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  let docker: Docker;
  before(async () => {
    daemon = await startDaemon();
    docker = daemon.dockerode;
  });
  after(() => daemon.stop());

  async function createNetwork(name: string, more: object = {}): Promise<void> {
    await docker.createNetwork({
      Name: `${PROJECT}_${name}`,
      CheckDuplicate: true,
      Driver: "bridge",
      Internal: false,
      Labels: { ...ofProject, ...label("network", name), ...label("version", "2.26.1") },
      ...more,
    });
  }

  /** As compose creates the first container of a service. */
  async function createService(
    service: string,
    command: string[],
    networks: Record<string, object>,
    host: object = {},
    more: object = {},
  ): Promise<Docker.Container> {
    const endpoints = Object.entries(networks).map(([name, settings]) => [
      `${PROJECT}_${name}`,
      { Aliases: [`${PROJECT}-${service}-1`, service], ...settings },
    ]);
    return await docker.createContainer({
      name: `${PROJECT}-${service}-1`,
      Image: IMAGE,
      Cmd: command,
      AttachStdout: true,
      AttachStderr: true,
      Labels: {
        ...ofProject,
        ...label("service", service),
        ...label("container-number", "1"),
        ...label("oneoff", "False"),
        ...label("config-hash", "0123"),
        ...label("depends_on", ""),
      },
      HostConfig: {
        NetworkMode: `${PROJECT}_${Object.keys(networks)[0]}`,
        RestartPolicy: { Name: "", MaximumRetryCount: 0 },
        PortBindings: {},
        LogConfig: { Type: "", Config: null },
        ...host,
      },
      NetworkingConfig: { EndpointsConfig: Object.fromEntries(endpoints) },
      ...more,
    });
  }

  const inside = async (container: Docker.Container, ...command: string[]) =>
    await daemon.client(["exec", container.id, ...command]);
  const resolve = async (container: Docker.Container, name: string): Promise<string> =>
    (await inside(container, "resolve", name)).stdout.trim();

  test("services on networks of the project find one another as compose says", async () => {
    await createNetwork("front");
    await createNetwork("back", {
      Internal: true,
      IPAM: { Driver: "default", Config: [{ Subnet: "10.91.0.0/24", Gateway: "10.91.0.254" }] },
    });
    const found = await docker.listNetworks({
      filters: { label: [`com.docker.compose.project=${PROJECT}`] },
    });
    assert.deepEqual(found.map(({ Name }) => Name).toSorted(), ["shop_back", "shop_front"]);

    await docker.createVolume({
      Name: `${PROJECT}_data`,
      Driver: "local",
      Labels: { ...ofProject, ...label("volume", "data") },
    });
    const mounts = [{ Type: "volume", Source: `${PROJECT}_data`, Target: "/data" }];
    const db = await createService(
      "db",
      ["listen", "tcp", "5432"],
      { back: { IPAMConfig: { IPv4Address: "10.91.0.9" }, Aliases: ["shop-db-1", "db", "store"] } },
      { Mounts: mounts },
      { Healthcheck: { Test: ["CMD", "/bin/true"], Interval: 1e9, StartInterval: 1e8 } },
    );
    const app = await createService(
      "app",
      ["sleep", "1000"],
      { front: {}, back: { Links: ["shop-db-1:database", "shop-db-1:shop-db-1"] } },
      { Links: ["shop-db-1:database"], ExtraHosts: ["host.docker.internal:host-gateway"] },
    );
    const other = await createService("other", ["sleep", "1000"], { back: {} });
    await db.start();
    for (let health = ""; health !== "healthy"; ) {
      health = (await db.inspect()).State.Health?.Status ?? "";
    }
    await Promise.all([app.start(), other.start()]);
    for (const name of ["db", "DB", "store", "shop-db-1", "database", "db.shop_back"]) {
      assert.equal(await resolve(app, name), "10.91.0.9", name);
    }
    assert.equal((await inside(app, "connect", "tcp", "10.91.0.9", "5432")).code, 0);
    assert.equal((await inside(other, "resolve", "database")).code, 1, "a link is one's own");
    const { NetworkSettings, HostConfig } = await db.inspect();
    assert.equal(NetworkSettings.Networks["shop_back"]!.IPAddress, "10.91.0.9");
    assert.equal(HostConfig.NetworkMode, "shop_back");
    // The gateway that leads to the host is that of the network which is not internal.
    const front = (await app.inspect()).NetworkSettings.Networks["shop_front"]!;
    const { stdout } = await inside(app, "cat", "/etc/hosts");
    assert(stdout.includes(`${front.Gateway}\thost.docker.internal`), stdout);
  });

  test("a service is restarted at its address, recreated, scaled and taken down", async () => {
    const db = docker.getContainer("shop-db-1");
    const app = docker.getContainer("shop-app-1");
    for (let turn = 0; turn < 3; turn++) {
      await db.restart({ t: 0 });
      assert.equal(await resolve(app, "db"), "10.91.0.9");
    }
    // Recreated: the old one is renamed away, replaced, and removed.
    const { Id } = await db.inspect();
    await db.rename({ name: `${Id.slice(0, 12)}_shop-db-1` });
    await docker.getContainer(Id).stop({ t: 0 });
    const next = await createService("db", ["listen", "tcp", "5432"], {
      back: { IPAMConfig: { IPv4Address: "10.91.0.10" } },
    });
    await docker.getContainer(Id).remove({ v: true });
    await next.start();
    assert.equal(await resolve(app, "db"), "10.91.0.10");
    // A second one answers to the service's name too.
    const second = await docker.createContainer({
      Image: IMAGE,
      Cmd: ["sleep", "1000"],
      Labels: { ...ofProject, ...label("service", "db"), ...label("container-number", "2") },
      HostConfig: { NetworkMode: "shop_back" },
      NetworkingConfig: { EndpointsConfig: { shop_back: { Aliases: ["shop-db-2", "db"] } } },
    });
    await second.start();
    assert.equal((await resolve(app, "db")).split("\n").length, 2);

    const filters = { label: [`com.docker.compose.project=${PROJECT}`] };
    const all = await docker.listContainers({ all: true, filters });
    assert.equal(all.length, 4);
    for (const { Id } of all) await docker.getContainer(Id).remove({ force: true, v: true });
    const networks = await docker.listNetworks({ filters });
    for (const { Id } of networks) await docker.getNetwork(Id).remove();
    const { Volumes } = await docker.listVolumes({ filters });
    for (const { Name } of Volumes) await docker.getVolume(Name).remove();
    assert.deepEqual(await docker.listNetworks({ filters }), []);
  });
});
