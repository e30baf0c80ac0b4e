import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiVersion, type CreateBody } from "../protocol/index.ts";
import { toCreateRequest } from "./create-request.ts";

const make = (body: CreateBody | undefined, version = "1.55", query = {}) =>
  toCreateRequest(body, query, new ApiVersion(version));
const refusal = (body: CreateBody | undefined, version?: string): string => {
  try {
    make(body, version);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
};

test("an empty body and an empty config are refused as dockerd does", () => {
  assert.equal(refusal(undefined), "invalid JSON: got EOF while reading request body");
  assert.equal(refusal({}), "config cannot be empty in order to create a container");
  assert.equal(
    refusal({ HostConfig: {} }),
    "config cannot be empty in order to create a container",
  );
});

test("the default network is called bridge, its endpoint too", () => {
  const { request } = make({
    Image: "a",
    HostConfig: { NetworkMode: "default" },
    NetworkingConfig: { EndpointsConfig: { default: { Aliases: ["x"] } } },
  });
  assert.equal(request.hostConfig.NetworkMode, "bridge");
  assert.deepEqual(request.networkingConfig, { EndpointsConfig: { bridge: { Aliases: ["x"] } } });
});

test("options newer than the client's version are forgotten", () => {
  const { request } = make(
    {
      Image: "a",
      Healthcheck: { StartInterval: 5 },
      HostConfig: { AutoRemove: true, Annotations: { a: "b" }, ConsoleSize: [5, 6] },
    },
    "1.24",
    { platform: "linux/arm64" },
  );
  assert.equal(request.hostConfig.AutoRemove, false);
  assert.equal(request.hostConfig.Annotations, undefined);
  assert.deepEqual(request.hostConfig.ConsoleSize, [0, 0]);
  assert.equal(request.hostConfig.IpcMode, "shareable");
  assert.equal(request.config.Healthcheck?.StartInterval, undefined);
  assert.equal(request.platform, undefined);
});

test("mount options must fit the mount's type", () => {
  const Mounts = [{ Type: "bind" as const, Target: "/x", VolumeOptions: {} }];
  assert.equal(
    refusal({ Image: "a", HostConfig: { Mounts } }),
    'VolumeOptions must not be specified on mount type "bind"',
  );
  assert.equal(refusal({ Image: "a", HostConfig: { Mounts } }, "1.41"), "");
});

test("read-only binds of old clients are not recursively read-only", () => {
  const Mounts = [{ Type: "bind" as const, Source: "/", Target: "/x", ReadOnly: true }];
  const { request } = make({ Image: "a", HostConfig: { Mounts } }, "1.43");
  assert.equal(request.hostConfig.Mounts?.[0]?.BindOptions?.ReadOnlyNonRecursive, true);
});

test("the container-wide MAC address moves to the main endpoint", () => {
  const old = make({ Image: "a", MacAddress: "02:42:ac:11:00:02" }, "1.43");
  assert.deepEqual(old.request.networkingConfig?.EndpointsConfig, {
    bridge: { MacAddress: "02:42:ac:11:00:02" },
  });
  assert.deepEqual(old.warnings, []);
  const now = make({ Image: "a", MacAddress: "02:42:ac:11:00:02" }, "1.44");
  assert.match(now.warnings[0] ?? "", /container-wide MacAddress field is now deprecated/);
  assert.equal(
    refusal({ Image: "a", MacAddress: "x", HostConfig: { NetworkMode: "host" } }, "1.43"),
    "conflicting options: mac-address and the network mode",
  );
});

test("empty port bindings mean any port until 1.52 and nothing later", () => {
  const body = (): CreateBody => ({ Image: "a", HostConfig: { PortBindings: { "80/tcp": [] } } });
  assert.deepEqual(make(body(), "1.51").request.hostConfig.PortBindings, {
    "80/tcp": [{ HostIp: "", HostPort: "" }],
  });
  assert.equal(make(body(), "1.52").warnings.length, 1);
  assert.deepEqual(make(body(), "1.53").request.hostConfig.PortBindings, {});
});

test("a pids limit of zero or less means no limit", () => {
  const { request } = make({ Image: "a", HostConfig: { PidsLimit: -1 } });
  assert.equal(request.hostConfig.PidsLimit, null);
});
