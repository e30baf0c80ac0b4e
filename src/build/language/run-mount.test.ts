import assert from "node:assert/strict";
import { test } from "node:test";
import { checkMount, parseMount } from "./run-mount.ts";

const read = (text: string) => parseMount(text, (word) => word.replace("$X", "x"));

test("each type of mount has its fields and defaults", () => {
  assert.deepEqual(read("target=/a"), { type: "bind", target: "/a", source: "", readOnly: true });
  assert.deepEqual(read("type=bind,from=build,src=/s,dst=/d,rw"), {
    type: "bind",
    target: "/d",
    source: "/s",
    from: "build",
    readOnly: false,
  });
  assert.deepEqual(
    read("type=cache,id=npm,destination=/c,sharing=locked,mode=0700,uid=1000,gid=1000,ro=true"),
    {
      type: "cache",
      target: "/c",
      id: "npm",
      source: "",
      readOnly: true,
      sharing: "locked",
      mode: 0o700,
      uid: 1000,
      gid: 1000,
    },
  );
  assert.deepEqual(read("type=tmpfs,target=/t,size=64m"), {
    type: "tmpfs",
    target: "/t",
    sizeBytes: 64 * 1024 * 1024,
    readOnly: false,
  });
  assert.deepEqual(read("type=ssh,required"), { type: "ssh", id: "default", required: true });
});

test("a secret is named by id, source or target, and may be a variable only", () => {
  const secret = { type: "secret", required: false };
  assert.deepEqual(read("type=secret,id=a"), { ...secret, id: "a", target: "/run/secrets/a" });
  assert.deepEqual(read("type=secret,target=/root/.npmrc"), {
    ...secret,
    id: ".npmrc",
    target: "/root/.npmrc",
  });
  assert.deepEqual(read("type=secret,id=tok,env=TOKEN"), { ...secret, id: "tok", env: "TOKEN" });
  assert.deepEqual(read("type=secret,id=t,env=T,target=/t,required=true"), {
    type: "secret",
    id: "t",
    env: "T",
    target: "/t",
    required: true,
  });
});

test("values are expanded, but never from", () => {
  assert.deepEqual(read("type=cache,id=$X,target=/$X"), {
    type: "cache",
    id: "x",
    target: "/x",
    source: "",
    readOnly: false,
    sharing: "shared",
  });
  assert.throws(() => checkMount("from=$X,target=/a"), /define alias stage instead/);
  assert.doesNotThrow(() => checkMount("type=$X,target=/a"));
});

test("wrong fields are refused in the builder's words", () => {
  const faults: [string, RegExp][] = [
    ["type=cash,target=/x", /unsupported mount type "cash" \(did you mean cache\?\)/],
    ["type=cache", /mount target is required/],
    ["type=bind,target=/a,mode=0755", /mode not allowed for "bind" type mounts/],
    ["type=tmpfs,target=/a,uid=1", /uid not allowed for "tmpfs" type mounts/],
    ["type=cache,target=/a,sharing=all", /unsupported sharing value "all"/],
    ["type=bind,target=/a,sharing=locked", /invalid cache sharing set for bind mount/],
    ["type=secret", /invalid secret mount. one of source, target required/],
    ["type=secret,id=a,src=b", /both source and id can't be set/],
    ["type=secret,id=a,from=b", /secret mount should not have a from/],
    ["type=secret,id=a,sharing=shared", /secret mount should not define sharing/],
    ["type=cache,target=/a,required", /unexpected key 'required' for mount type 'cache'/],
    ["type=cache,target=/a,size=1m", /unexpected key 'size' for mount type 'cache'/],
    ["type=cache,taget=/a", /unexpected key 'taget' in 'taget=\/a' \(did you mean target\?\)/],
    ["target=/a,ro=maybe", /invalid value for ro: maybe/],
    ["type=cache,target=/a,mode=999", /invalid value 999 for mode/],
    ["type=cache,target=/a,uid=-1", /invalid value -1 for uid/],
    ["type=tmpfs,target=/a,size=big", /invalid value for size: big/],
    ["target", /invalid field 'target' must be a key=value pair/],
  ];
  for (const [text, message] of faults) assert.throws(() => read(text), { message }, text);
});
