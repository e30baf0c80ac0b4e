import assert from "node:assert/strict";
import { test } from "node:test";
import {
  checkDriverOptions,
  describeMount,
  hostToResolve,
  isBind,
  isRemote,
  volumeMount,
  withAddress,
} from "./driver-options.ts";

const refusals: [Record<string, string>, string][] = [
  [{ foo: "bar" }, 'invalid option: "foo"'],
  [{ constructor: "x" }, 'invalid option: "constructor"'],
  [{ type: "tmpfs" }, 'missing required option: "device"'],
  [{ device: "tmpfs" }, 'missing required option: "type"'],
  [{ o: "size=1m" }, 'missing required option: "device"'],
  [{ type: "tmpfs", device: "" }, 'missing required option: "device"'],
];
for (const [options, message] of refusals) {
  test(`the options ${JSON.stringify(options)} are refused as dockerd refuses them`, () => {
    assert.throws(() => checkDriverOptions(options), { kind: "invalid", message });
  });
}

test("a size needs no device, and a device with its type is enough", () => {
  checkDriverOptions({ size: "1g" });
  checkDriverOptions({ type: "tmpfs", device: "tmpfs" });
  assert.equal(volumeMount(null), undefined);
  assert.equal(volumeMount({ size: "1g" }), undefined);
});

test("words of o= become flags, propagation and data; the last of a pair wins", () => {
  const o = "ro,noatime,size=1m,rw,nosuid,rshared,,mode=700";
  assert.deepEqual(volumeMount({ type: "tmpfs", device: "t", o }), {
    device: "t",
    fstype: "tmpfs",
    flags: 0x402,
    propagation: 0x104000,
    data: "size=1m,mode=700",
  });
  const bind = volumeMount({ type: "none", device: "/srv", o: "rbind,ro" })!;
  assert.ok(isBind(bind));
  assert.equal(bind.flags, 0x5001);
});

test("addr= of nfs and the host of a cifs share are resolved, addresses too are left to that", () => {
  const nfs = volumeMount({ type: "nfs", device: ":/x", o: "addr=nas.lan,rw" })!;
  assert.equal(hostToResolve(nfs), "nas.lan");
  assert.equal(withAddress(nfs, "nas.lan", "10.0.0.9").data, "addr=10.0.0.9");
  const cifs = volumeMount({ type: "cifs", device: "//nas/share", o: "username=u" })!;
  assert.equal(hostToResolve(cifs), "nas");
  assert.equal(withAddress(cifs, "nas", "10.0.0.9").device, "//10.0.0.9/share");
  const both = volumeMount({ type: "cifs", device: "//nas/share", o: "addr=fs.lan" })!;
  assert.equal(hostToResolve(both), "fs.lan");
  const other = volumeMount({ type: "ext4", device: "/dev/x", o: "addr=fs.lan" })!;
  assert.equal(hostToResolve(other), undefined);
});

test("a failed mount is told in docker's words, without the password", () => {
  const o = "username=u,password=sekret,ro";
  const mount = volumeMount({ type: "cifs", device: "//nas/x", o })!;
  assert.equal(
    describeMount(mount, "/v/c/_data"),
    "mount //nas/x:/v/c/_data, flags: 0x1, data: username=u,password=********",
  );
});

test("file systems of other machines are known", () => {
  assert.equal(isRemote({ type: "nfs4" }), true);
  assert.equal(isRemote({ type: "tmpfs" }), false);
  assert.equal(isRemote(null), false);
});
