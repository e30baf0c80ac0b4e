import assert from "node:assert/strict";
import { test } from "node:test";
import type { EngineContext } from "../context.ts";
import type { ContainerRecord } from "./record.ts";
import { initPathFor } from "./selinux-labels.ts";

test("containers share a copy of the init only where its label is that of their files", () => {
  const options = { execRoot: "/run/gantry", defaults: {} };
  const engine = { options } as unknown as EngineContext;
  const path = (mount: string, process = "u:r:t:s0") =>
    initPathFor(engine, { selinux: { process, mount } } as ContainerRecord);
  assert.equal(path("u:object_r:f:s0:c1,c2"), path("u:object_r:f:s0:c3,c4"));
  assert.notEqual(path("u:object_r:f:s0:c1,c2"), path("u:object_r:other:s0:c1,c2"));
  assert.notEqual(path("u:object_r:f:s0"), path("v:object_r:f:s0"));
  assert.match(path("u:object_r:../x:s0"), /^\/run\/gantry\/init-of-containers-[0-9a-f]+$/);
  assert.doesNotMatch(path("u:object_r:f:s0", ""), /of-containers/); // has no label: the host's
});
