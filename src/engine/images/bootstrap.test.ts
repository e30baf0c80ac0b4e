import assert from "node:assert/strict";
import { test } from "node:test";
import { planBootstrap } from "./bootstrap.ts";

test("a bootstrap that cannot be served is refused before anything is fetched", () => {
  const refused: [Parameters<typeof planBootstrap>[0], RegExp][] = [
    [{ image: "fedora:42" }, /unknown distribution "fedora".*gantry import/],
    [{ image: "toString:x" }, /unknown distribution/],
    [{ image: "debian" }, /want debian:SUITE, such as debian:bookworm/],
    [{ image: "debian:../x" }, /want debian:SUITE/],
    [{ image: "debian:bookworm:2" }, /want debian:SUITE/],
    [{ image: "debian:bookworm", variant: "tiny" }, /unknown variant "tiny": want essential/],
    [{ image: "debian:bookworm", include: ["-oX=y"] }, /not the name of a package/],
    [{ image: "debian:bookworm", mirror: "ftp://x" }, /not the URL of a mirror/],
  ];
  for (const [request, message] of refused) {
    assert.throws(() => planBootstrap(request), { kind: "invalid", message });
  }
});

test("packages are those of the variant, the keys, and what is included", () => {
  const { packages } = planBootstrap({
    image: "debian:trixie",
    variant: "apt",
    include: ["ca-certificates"],
  });
  assert.deepEqual(packages, ["apt", "debian-archive-keyring", "ca-certificates"]);
});
