// A daemon with a genuine Debian in it, made from the host's apt, whose containers reach the world
// as the host does: over the bridge to a proxy that stands at their gateway. For builds of real
// things.

import assert from "node:assert/strict";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestDaemon } from "../e2e/harness.ts";
import { type Result, run } from "../e2e/process.ts";
import { payloadProgram } from "../payload/payload.ts";
import { type HostProxy, startHostProxy } from "./host-proxy.ts";
import { writeFiles } from "./write-files.ts";

const DEADLINE_MS = 600_000;

export class RealDebian {
  readonly daemon: TestDaemon;
  readonly folder: string;
  readonly #proxy: HostProxy;

  private constructor(daemon: TestDaemon, folder: string, proxy: HostProxy) {
    this.daemon = daemon;
    this.folder = folder;
    this.#proxy = proxy;
  }

  /** Its image is called debian:bookworm. */
  static async make(): Promise<RealDebian> {
    const folder = await mkdtemp(join(tmpdir(), "gantry-e2e-"));
    const daemon = new TestDaemon(folder, await payloadProgram(), { bare: true, client: "gantry" });
    await daemon.hold();
    const proxy = await startHostProxy(folder, daemon.namespacesPid);
    process.env["http_proxy"] = proxy.url;
    const made = new RealDebian(daemon, folder, proxy);
    try {
      await daemon.start();
      const options = ["--variant", "apt", "--include", "ca-certificates"];
      await made.#client("image", "bootstrap", "-q", ...options, "debian:bookworm");
      return made;
    } catch (error) {
      await made.end().catch(() => {});
      throw error;
    }
  }

  async end(): Promise<void> {
    delete process.env["http_proxy"];
    await this.#proxy.close();
    await this.daemon.stop();
  }

  async #client(...args: string[]): Promise<Result> {
    const result = await this.daemon.client(args, { deadlineMs: DEADLINE_MS });
    assert.equal(result.code, 0, `${args.join(" ")}: ${result.stderr.slice(-3000)}`);
    return result;
  }

  /** Writes a folder to build from; returns its path. */
  async context(name: string, files: Record<string, string>): Promise<string> {
    const context = join(this.folder, "contexts", name);
    await writeFiles(context, files);
    return context;
  }

  /** gantry build, with the proxy as the build arguments that every Dockerfile has. */
  async build(...args: string[]): Promise<Result> {
    const bridge = JSON.parse(await this.daemon.ok("network", "inspect", "bridge"))[0];
    const url = `http://${bridge.IPAM.Config[0].Gateway}:${this.#proxy.port}`;
    const proxies = ["http_proxy", "https_proxy"].flatMap((name) => [
      "--build-arg",
      `${name}=${url}`,
    ]);
    return await this.#client("build", "--progress", "plain", ...proxies, ...args);
  }

  /** What a client on the daemon's machine is answered, as soon as somebody listens. */
  async page(url: string): Promise<string> {
    const program = `
      for (let turn = 0; turn < 600; turn++) {
        const answer = await fetch(process.argv[1]).catch(() => undefined);
        if (answer) {
          console.log(answer.status, answer.headers.get("server"), await answer.text());
          process.exit();
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }`;
    const node = [process.execPath, "--input-type=module", "-e", program, url];
    const inside = ["-t", String(this.daemon.namespacesPid), "-n", ...node];
    return (await run("nsenter", inside)).stdout;
  }
}
