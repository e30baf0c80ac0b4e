// What everybody builds first: nginx with apt, on a Debian that was made here; it is installed for
// real and serves on a published port. Skips where apt, or its mirror, is not there.
// test-deadline: 900 s, since a mirror may be slow

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { whyNoDaemon } from "../e2e/harness.ts";
import { whyNoDebian } from "../support/debian-mirror.ts";
import { RealDebian } from "../support/real-debian.ts";

const DOCKERFILE = `FROM debian:bookworm
RUN apt-get update && apt-get install -y --no-install-recommends nginx-light
RUN mkdir -p /var/www/html/hello
COPY index.html /var/www/html/hello/
EXPOSE 80
CMD ["nginx", "-g", "daemon off;"]
`;
const skip = whyNoDaemon() || (await whyNoDebian());

describe("the first Dockerfile of everybody", { skip }, () => {
  let debian: RealDebian;
  before(async () => {
    debian = await RealDebian.make();
  });
  after(async () => await debian?.end());

  test("nginx is installed with apt and serves on a published port", async () => {
    const { daemon } = debian;
    const files = { Dockerfile: DOCKERFILE, "index.html": "<h1>made here</h1>" };
    const context = await debian.context("nginx", files);
    const first = await debian.build("-t", "web", context);
    assert.match(first.stderr, /Setting up nginx-light/);
    assert.equal(
      await daemon.ok("inspect", "-f", "{{json .Config.ExposedPorts}} {{json .Config.Cmd}}", "web"),
      '{"80/tcp":{}} ["nginx","-g","daemon off;"]',
    );
    const id = await daemon.ok("run", "-d", "-p", "8080:80", "web");
    const page = await debian.page("http://127.0.0.1:8080/hello/");
    assert.match(page, /^200 nginx\/\S+ <h1>made here<\/h1>/);
    await daemon.ok("rm", "-f", id);

    await debian.context("nginx", { "index.html": "<h1>changed</h1>" });
    const again = await debian.build("-t", "web", context);
    for (const step of ["RUN apt-get", "RUN mkdir"]) {
      const cached = new RegExp(`^(#\\d+) \\[\\d/4\\] ${step}.*\n\\1 CACHED$`, "m");
      assert.match(again.stderr, cached, step);
    }
    assert.equal(
      await daemon.ok("run", "--rm", "--network", "none", "web", "nginx", "-t", "-q"),
      "",
    );
  });
});
