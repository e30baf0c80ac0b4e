import assert from "node:assert/strict";
import { test } from "node:test";
import { namesOf } from "./apparmor.ts";
import { defaultProfile } from "./profile.ts";

test("the kernel's list of profiles is read by name, whatever their mode", () => {
  const names = namesOf("docker-default (enforce)\nlsb release (complain)\n/usr/bin/man\n");
  assert.deepEqual([...names], ["docker-default", "lsb release", "/usr/bin/man"]);
});

test("signals come from the daemon's own label too, once", () => {
  const text = defaultProfile('a "quoted" one');
  assert.match(text, /signal \(receive\) peer="unconfined",/);
  assert.match(text, /signal \(receive\) peer="a \\"quoted\\" one",/);
  assert.equal(defaultProfile("unconfined").match(/signal \(receive\)/g)?.length, 1);
});
