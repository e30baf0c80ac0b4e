// npm run test:real: projects as people have them, built from the machine's own mirrors: a server
// in TypeScript with npm and a cache mount in several stages, and a C program on nothing at all.
// test-deadline: 1800 s, since mirrors may be slow

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { root, whyNoDaemon } from "../e2e/harness.ts";
import { whyNoDebian } from "../support/debian-mirror.ts";
import { RealDebian } from "../support/real-debian.ts";

const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
const skip = whyNoDaemon() || (await whyNoDebian());

const NODE_PROJECT = {
  "package.json": JSON.stringify({
    name: "greeter",
    version: "1.0.0",
    type: "module",
    scripts: { build: "esbuild server.ts --bundle --platform=node --format=esm --outdir=dist" },
    dependencies: { ms: "2.1.3" },
    devDependencies: { esbuild: "0.28.2" },
  }),
  "server.ts": `import { createServer } from "node:http";
import ms from "ms";
const day: number = ms("1 day");
createServer((_, answer) => answer.end(\`a day has \${day} ms\`)).listen(3000);
`,
  ".dockerignore": "node_modules\n",
  Dockerfile: `# syntax=docker/dockerfile:1
FROM debian:bookworm AS node
RUN apt-get update && apt-get install -y --no-install-recommends libatomic1
COPY --from=node-program node /usr/local/bin/

FROM node AS build
COPY --from=npm . /usr/local/lib/npm
RUN ln -s ../lib/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /app
COPY package.json ./
RUN --mount=type=cache,target=/root/.npm \\
    --mount=type=secret,id=npmrc,target=/root/.npmrc \\
    --mount=type=secret,id=certificates,target=/run/certificates.pem \\
    NODE_EXTRA_CA_CERTS=/run/certificates.pem npm install --no-audit --no-fund
COPY . .
RUN npm run build

FROM node
COPY --from=build /app/dist /app
USER nobody
EXPOSE 3000
CMD ["node", "/app/server.js"]
`,
};

const C_DOCKERFILE = `FROM debian:bookworm AS build
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\
    apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
WORKDIR /src
COPY --from=sources *.c *.h ./
RUN rm init.c launcher.c hello.c && gcc -std=gnu11 -D_GNU_SOURCE= -O2 -static -o /program *.c

FROM scratch
COPY --from=build /program /program
ENTRYPOINT ["/program"]
`;

describe("real projects", { skip }, () => {
  let debian: RealDebian;
  before(async () => {
    debian = await RealDebian.make();
  });
  after(async () => await debian?.end());

  test("a server in TypeScript is installed with npm, bundled and served", async () => {
    const { daemon } = debian;
    const npmrc = await npmSettings();
    const context = await debian.context("greeter", { ...NODE_PROJECT, "../npmrc": npmrc });
    const certificates = existsSync(CERTIFICATES) ? CERTIFICATES : join(context, "../npmrc");
    const args = [
      ...["--build-context", `node-program=${dirname(process.execPath)}`],
      ...["--build-context", `npm=${npmFolder()}`],
      ...["--secret", `id=npmrc,src=${join(context, "../npmrc")}`],
      ...["--secret", `id=certificates,src=${certificates}`, "-t", "greeter", context],
    ];
    await debian.build(...args);
    const id = await daemon.ok("run", "-d", "-p", "8081:3000", "greeter");
    const page = await debian.page("http://127.0.0.1:8081/");
    assert.match(page, /^200 null a day has 86400000 ms$/m);
    await daemon.ok("rm", "-f", id);
    // What was secret is in no layer.
    const look = ["sh", "-c", "cat /root/.npmrc /run/certificates.pem; ls -A /root"];
    const { stdout } = await daemon.client(["run", "--rm", "greeter", ...look]);
    assert.doesNotMatch(stdout, /npm|CERTIFICATE/);

    // Another dependency: npm runs again, over a cache that is full.
    const more = NODE_PROJECT["package.json"].replace('"ms"', '"picocolors":"1.1.1","ms"');
    await debian.context("greeter", { "package.json": more });
    await debian.build(...args);
  });

  test("a C program is compiled and is all there is in its image", async () => {
    const { daemon } = debian;
    const context = await debian.context("c", { Dockerfile: C_DOCKERFILE });
    const sources = join(root, "native");
    await debian.build("--build-context", `sources=${sources}`, "-t", "program", context);
    const { code, stderr } = await daemon.client(["run", "--rm", "--network", "none", "program"]);
    assert.notEqual(code, 125);
    assert.match(stderr, /usage: gantry-native/);
    const size = Number(await daemon.ok("image", "inspect", "-f", "{{.Size}}", "program"));
    assert.ok(size > 100_000 && size < 5_000_000, `${size} bytes`);
    const layers = await daemon.ok("image", "inspect", "-f", "{{len .RootFS.Layers}}", "program");
    assert.equal(layers, "1");
  });
});

function npmFolder(): string {
  return join(fromNpm("root", "-g"), "npm");
}

/** The registry that the machine's own npm asks. */
async function npmSettings(): Promise<string> {
  const registry = fromNpm("config", "get", "registry");
  return `registry=${registry}\n`;
}

function fromNpm(...args: string[]): string {
  return execFileSync("npm", args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  }).trim();
}
