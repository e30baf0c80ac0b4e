// What scanners make of the records of packages: distributions', languages', and bytes that are
// none.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { GoBuildInfo } from "./go-build-info.ts";
import {
  apkPackages,
  dpkgPackages,
  goPackages,
  npmPackage,
  osRelease,
  type Package,
  pythonPackage,
  rpmPackage,
} from "./packages.ts";

const DEBIAN = { id: "debian", version: "12" };
const urls = (packages: Package[]): string[] => packages.map(({ purl }) => purl);

describe("records of packages", () => {
  test("os-release is read with and without quotes", () => {
    assert.deepEqual(osRelease('NAME="x"\nID=alpine\nVERSION_ID=3.20.1\n'), {
      ...{ id: "alpine", version: "3.20.1" },
    });
    assert.deepEqual(osRelease('ID="rocky"\nVERSION_ID="9.4"\n'), { id: "rocky", version: "9.4" });
    assert.deepEqual(osRelease(""), { id: "linux", version: "" });
  });

  test("dpkg's status names what is installed, and what has no status at all", () => {
    const text =
      "Package: a\nStatus: install ok installed\nVersion: 1:2+b~1\nArchitecture: all\n" +
      "Description: x\n more\n Package: no\n\nPackage: b\nStatus: deinstall ok config-files\n" +
      "Version: 1\n\nPackage: c\nVersion: 3\n";
    assert.deepEqual(urls(dpkgPackages(text, "s", DEBIAN)), [
      "pkg:deb/debian/a@1:2+b~1?arch=all&distro=debian-12",
      "pkg:deb/debian/c@3?distro=debian-12",
    ]);
  });

  test("hostile records take no more time than their length", () => {
    // Expressions that try every blank took the square of this: hours, not milliseconds.
    const blanks = " ".repeat(8_000_000);
    const [found] = dpkgPackages(`Package: a${blanks}\rb\nVersion:${blanks}\r1\r\n`, "s", DEBIAN);
    assert.equal(found?.version, "1");
    // Many entries that point to one long text: it is read once.
    const text = Buffer.alloc(8_000_000, "x");
    const index = Buffer.alloc(60_000 * 16);
    for (let at = 0; at < index.length; at += 16) {
      index.writeUInt32BE(at % 32 === 0 ? 1000 : 5, at);
      index.writeUInt32BE(6, at + 4);
    }
    const counts = Buffer.alloc(8);
    counts.writeUInt32BE(60_000);
    counts.writeUInt32BE(text.length, 4);
    assert.deepEqual(rpmPackage(Buffer.concat([counts, index, text]), "r", DEBIAN), []);
    // No URL can hold half a character.
    assert.equal(npmPackage('{"name":"\\ud800","version":"1"}', "p").length, 1);
  });

  test("apk's database, npm's, Python's and Go's records are read", () => {
    const apk = apkPackages("P:musl\nV:1.2-r0\nA:x86_64\nL:MIT\n\nP:half\n", "i", DEBIAN);
    assert.deepEqual(urls(apk), ["pkg:apk/debian/musl@1.2-r0?arch=x86_64&distro=debian-12"]);
    assert.equal(apk[0]?.license, "MIT");
    assert.deepEqual(urls(npmPackage('{"name":"@a/b","version":"1.0.0"}', "p")), [
      "pkg:npm/%40a/b@1.0.0",
    ]);
    assert.deepEqual(npmPackage('{"name":"a"}', "p"), []);
    assert.deepEqual(npmPackage("null", "p"), []);
    const python = "Metadata-Version: 2.1\nName: Flask_Login\nVersion: 0.6\nLicense: MIT\n\ntext";
    assert.deepEqual(urls(pythonPackage(python, "m")), ["pkg:pypi/flask-login@0.6"]);
    const modules =
      "path\texample.com/x\nmod\texample.com/x\t(devel)\t\ndep\ta.b/c\tv1.0.0\th1:=\n" +
      "dep\ta.b/d\tv1.0.0\th1:=\n=>\ta.b/e\tv2.0.0\th1:=\nbuild\t-compiler=gc\n";
    assert.deepEqual(urls(goPackages(modules, "x")), [
      "pkg:golang/example.com/x@%28devel%29",
      "pkg:golang/a.b/c@v1.0.0",
      "pkg:golang/a.b/e@v2.0.0",
    ]);
  });

  test("a header of rpm's database is a package", () => {
    const header = rpmHeader([
      [1000, 6, "bash"],
      [1001, 6, "5.1"],
      [1002, 6, "9.el9"],
      [1003, 4, 2],
      [1014, 6, "GPLv3+"],
      [1022, 6, "x86_64"],
    ]);
    const [found] = rpmPackage(header, "db", { id: "rocky", version: "9" });
    assert.equal(found?.purl, "pkg:rpm/rocky/bash@5.1-9.el9?arch=x86_64&epoch=2&distro=rocky-9");
    assert.equal(found?.license, "GPLv3+");
  });

  test("bytes that are no record give nothing, whatever they are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.string(), (bytes, text) => {
        assert.ok(Array.isArray(rpmPackage(bytes, "x", DEBIAN)));
        for (const read of [dpkgPackages, apkPackages]) read(text, "x", DEBIAN);
        npmPackage(text, "x");
        pythonPackage(text, "x");
        goPackages(text, "x");
        const info = new GoBuildInfo();
        info.push(Buffer.from(bytes));
        info.modules();
      }),
    );
  });

  test("Go's build information is found wherever chunks end", () => {
    const modules = "path\tx\nmod\tx\tv1\t\n";
    const text = Buffer.concat([Buffer.alloc(16, 1), Buffer.from(modules), Buffer.alloc(16, 2)]);
    const whole = Buffer.concat([
      Buffer.alloc(100, 7),
      Buffer.from("\xff Go buildinf:", "latin1"),
      Buffer.from([8, 2]),
      Buffer.alloc(16),
      Buffer.from([7]),
      Buffer.from("go1.22\n"),
      Buffer.from([text.length]),
      text,
      Buffer.alloc(100, 7),
    ]);
    for (let size = 1; size < 60; size += 7) {
      const info = new GoBuildInfo();
      for (let at = 0; at < whole.length; at += size) info.push(whole.subarray(at, at + size));
      assert.equal(info.modules(), modules, `in chunks of ${size}`);
    }
  });
});

function rpmHeader(tags: [tag: number, type: number, value: string | number][]): Uint8Array {
  const data: Buffer[] = [];
  const entries: Buffer[] = [];
  let offset = 0;
  for (const [tag, type, value] of tags) {
    const entry = Buffer.alloc(16);
    for (const [at, one] of [tag, type, offset, 1].entries()) entry.writeUInt32BE(one, at * 4);
    entries.push(entry);
    const bytes = Buffer.alloc(typeof value === "string" ? value.length + 1 : 4);
    if (typeof value === "string") bytes.write(value);
    else bytes.writeUInt32BE(value);
    data.push(bytes);
    offset += bytes.length;
  }
  const head = Buffer.alloc(8);
  head.writeUInt32BE(tags.length, 0);
  head.writeUInt32BE(offset, 4);
  return Buffer.concat([head, ...entries, ...data]);
}
