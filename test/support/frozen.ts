// The program of the tests of checkpoints and keyrings (test/payload/frozen.c), and a container of
// it: what it has done so far is told by a file in its folder.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { OciSpec } from "../../src/spec/index.ts";
import { compiled } from "./compiled.ts";
import { until } from "./deadline.ts";
import type { OciFixture } from "./oci-fixture.ts";

const source = fileURLToPath(new URL("../payload/frozen.c", import.meta.url));

export function frozenProgram(): Promise<string> {
  return compiled("frozen", [source]);
}

/** A call whose streams lead nowhere, so that CRIU has none of them to take along. */
export async function silent(oci: OciFixture, ...args: string[]): Promise<number> {
  const words = ["--root", oci.root, ...args];
  const netns = oci.netns === "" ? [] : ["/usr/bin/nsenter", `--net=${oci.netns}`, "--"];
  const [program, ...all] = [...netns, oci.program, ...words];
  const [code] = await once(spawn(program!, all, { stdio: "ignore" }), "exit");
  return code as number;
}

export class Frozen {
  readonly oci: OciFixture;
  readonly id: string;
  readonly bundle: string;
  /** Its folder, on the host. */
  readonly folder: string;

  private constructor(oci: OciFixture, made: { id: string; bundle: string; folder: string }) {
    this.oci = oci;
    this.id = made.id;
    this.bundle = made.bundle;
    this.folder = made.folder;
  }

  /** Starts it; it has done its work at least once. */
  static async start(
    oci: OciFixture,
    args: string[],
    change: (spec: OciSpec) => void = () => {},
  ): Promise<Frozen> {
    const program = join(oci.rootfs, "bin/frozen");
    if (!existsSync(program)) await copyFile(await frozenProgram(), program);
    const name = `frozen-${args[0]}-${Math.random().toString(36).slice(2)}`;
    const folder = join(oci.rootfs, name);
    await mkdir(folder);
    const [kind = "", ...more] = args;
    const made = await oci.bundle(["/bin/frozen", kind, `/${name}`, ...more], (spec) => {
      delete spec.linux!.seccomp;
      change(spec);
    });
    const frozen = new Frozen(oci, { ...made, folder });
    const code = await silent(oci, "run", "-d", "-b", made.bundle, made.id);
    if (code !== 0) throw new Error(`run ${made.id}: exit ${code}`);
    try {
      await frozen.goesOn();
    } catch (error) {
      await frozen[Symbol.asyncDispose]();
      throw error;
    }
    return frozen;
  }

  async count(): Promise<number> {
    return Number(await readFile(join(this.folder, "progress"), "utf8").catch(() => "0"));
  }

  async pid(): Promise<number> {
    return (await this.oci.state(this.id)).pid;
  }

  /** Awaits that it has done its work again. */
  async goesOn(): Promise<void> {
    const before = await this.count();
    await until(`${this.id} goes on`, async () => (await this.count()) > before);
  }

  /** Checkpoints it; the images are in the folder that this resolves with. */
  async dump(...flags: string[]): Promise<string> {
    const images = this.oci.path(`images-${this.id}`);
    await this.oci.ok("checkpoint", "--image-path", images, ...flags, this.id);
    return images;
  }

  async restore(images: string, ...flags: string[]): Promise<void> {
    const place = ["--image-path", images, "--bundle", this.bundle];
    const code = await silent(this.oci, "restore", "--detach", ...place, ...flags, this.id);
    if (code === 0) return;
    const log = await readFile(join(images, "restore.log"), "utf8").catch(() => "");
    throw new Error(`restore ${flags.join(" ")}: exit ${code}: ${log}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.oci.call("delete", "--force", this.id);
  }
}
