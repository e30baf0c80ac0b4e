import assert from "node:assert/strict";
import { test } from "node:test";
import { containerFixture, imageFixture } from "../../../test/fakes/engine.ts";
import type { ContainerState } from "../../engine/index.ts";
import { ApiVersion } from "../../protocol/index.ts";
import { renderContainerInspect } from "./container-inspect.ts";
import { renderContainerSummary, statusText } from "./container-summary.ts";
import { renderDiskUsage } from "./disk-usage.ts";
import { renderHostConfig } from "./host-config.ts";
import { renderImageInspect, renderImageSummary } from "./image.ts";

const now = Date.parse("2026-11-21T06:00:00Z");
const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString();
const state = (changes: Partial<ContainerState>): ContainerState => ({
  ...containerFixture().state,
  Status: "exited",
  Running: false,
  StartedAt: "0001-01-01T00:00:00Z",
  ...changes,
});

test("status words are those of docker ps", () => {
  const words = (changes: Partial<ContainerState>): string => statusText(state(changes), now);
  const up = { Running: true, StartedAt: ago(3) };
  assert.equal(words({ Status: "created" }), "Created");
  assert.equal(words(up), "Up 3 seconds");
  assert.equal(words({ ...up, Paused: true }), "Up 3 seconds (Paused)");
  const health = (Status: string) => ({ Health: { Status, FailingStreak: 0, Log: [] } });
  assert.equal(words({ ...up, ...health("healthy") }), "Up 3 seconds (healthy)");
  assert.equal(words({ ...up, ...health("starting") }), "Up 3 seconds (health: starting)");
  assert.equal(words({ ...up, ...health("none") }), "Up 3 seconds");
  const exited = { StartedAt: ago(400), FinishedAt: ago(300), ExitCode: 137 };
  assert.equal(words(exited), "Exited (137) 5 minutes ago");
  assert.equal(words({ ...exited, Restarting: true }), "Restarting (137) 5 minutes ago");
  assert.equal(
    words({ ...exited, Running: true, Restarting: true }),
    "Restarting (137) 5 minutes ago",
  );
  assert.equal(words({ ...exited, Dead: true }), "Dead");
  assert.equal(words({ ...exited, Status: "removing" }), "Removal In Progress");
});

test("ports, command and names of a summary are docker's", () => {
  const shown = renderContainerSummary(
    containerFixture({ args: ["-c", "echo hi"], path: "sh" }),
    new ApiVersion("1.55"),
    now,
  );
  assert.deepEqual(shown["Names"], ["/web"]);
  assert.equal(shown["Command"], "sh -c 'echo hi'");
  assert.deepEqual(shown["Ports"], [
    { IP: "0.0.0.0", PrivatePort: 80, PublicPort: 8080, Type: "tcp" },
    { PrivatePort: 443, Type: "tcp" },
  ]);
  assert.deepEqual(shown["HostConfig"], { NetworkMode: "bridge", Annotations: { a: "b" } });
  const old = renderContainerSummary(containerFixture(), new ApiVersion("1.45"), now);
  assert.deepEqual(old["HostConfig"], { NetworkMode: "bridge" });
});

test("inspect shows every field of HostConfig, and omits what Go omits", () => {
  const shown = renderHostConfig({ NetworkMode: "none", Mounts: [], Tmpfs: {}, Init: false });
  assert.equal(shown.CpuShares, 0);
  assert.equal(shown.MemorySwappiness, null);
  assert.deepEqual(shown.ConsoleSize, [0, 0]);
  assert.equal(shown.Init, false);
  for (const field of ["Mounts", "Tmpfs", "Sysctls", "Annotations", "KernelMemory"]) {
    assert.ok(!(field in shown), field);
  }
});

test("top-level network fields are there until API 1.51", () => {
  const settings = (version: string) =>
    renderContainerInspect(containerFixture(), new ApiVersion(version))["NetworkSettings"] as {
      [field: string]: unknown;
    };
  assert.equal(settings("1.51")["IPAddress"], "172.17.0.2");
  assert.equal(settings("1.51")["HairpinMode"], false);
  assert.ok(!("IPAddress" in settings("1.52")));
  assert.deepEqual(Object.keys(settings("1.52")), ["SandboxID", "SandboxKey", "Ports", "Networks"]);
});

test("what was a container's own is not shown of an image that was made from it", () => {
  const own = { Hostname: "box", Tty: true, StopTimeout: 3, Image: "a", StopSignal: "INT" };
  const image = imageFixture();
  image.config = { ...image.config, config: own };
  const shown = (version: string) => renderImageInspect(image, new ApiVersion(version))["Config"];
  const { Hostname, Tty, Image, StopSignal } = shown("1.44") as Record<string, unknown>;
  assert.deepEqual([Hostname, Tty, Image, StopSignal], ["", false, "", "INT"]);
  assert.deepEqual(shown("1.52"), { StopSignal: "INT" });
});

test("images show the fields that a client's version expects", () => {
  const inspect = (version: string) => renderImageInspect(imageFixture(), new ApiVersion(version));
  assert.equal(inspect("1.43")["VirtualSize"], 7_800_000);
  assert.ok(!("VirtualSize" in inspect("1.44")));
  assert.ok("Parent" in inspect("1.51") && !("Parent" in inspect("1.52")));
  assert.equal((inspect("1.49")["Config"] as { Hostname: string }).Hostname, "");
  assert.ok(!("Hostname" in (inspect("1.50")["Config"] as object)));
  const nameless = imageFixture({ repoTags: [], containers: 2 });
  const summary = (version: string) => renderImageSummary(nameless, new ApiVersion(version));
  assert.deepEqual(summary("1.42")["RepoTags"], ["<none>:<none>"]);
  assert.deepEqual(summary("1.43")["RepoTags"], []);
  assert.equal(summary("1.50")["Containers"], -1);
  assert.equal(summary("1.51")["Containers"], 2);
});

test("disk usage comes as lists, as sums, or as both", () => {
  const answer = {
    LayersSize: 100,
    Images: [imageFixture({ size: 100, sharedSize: 0, containers: 0 })],
    Containers: [containerFixture({ sizes: { rw: 5, rootFs: 105 } })],
    Volumes: [],
    BuildCache: [],
  };
  const old = renderDiskUsage(answer, new ApiVersion("1.51"), undefined);
  assert.deepEqual(Object.keys(old).slice(0, 3), ["LayersSize", "Images", "Containers"]);
  assert.ok(!("ImageUsage" in old));
  const sums = renderDiskUsage(answer, new ApiVersion("1.52"), "0");
  assert.deepEqual(sums["ImageUsage"], {
    ActiveCount: 0,
    TotalCount: 1,
    Reclaimable: 100,
    TotalSize: 100,
  });
  assert.equal((sums["ContainerUsage"] as { ActiveCount: number }).ActiveCount, 1);
  assert.ok(!("Images" in sums));
  const both = renderDiskUsage(answer, new ApiVersion("1.52"), undefined);
  assert.ok("Images" in both && "ImageUsage" in both);
});
