import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { LogInfo } from "./attributes.ts";
import { generationPath } from "./generations.ts";
import { LogKeeper } from "./keeper.ts";
import { jsonLines } from "./test-logs.ts";

const FILE_BYTES = 64 * 1024;

/** Text that hardly compresses, so that sizes stay what they are. */
const noise = (seed: number) => {
  let x = seed + 1;
  const word = () => (x = (x * 1_103_515_245 + 12_345) % 2 ** 31).toString(36);
  return jsonLines([{ log: Array.from({ length: FILE_BYTES / 6 }, word).join("") }]);
};

class Logs {
  readonly dir: string;
  readonly trimmed: string[] = [];
  readonly keeper: LogKeeper;
  #infos = new Map<string, LogInfo>();

  private constructor(dir: string, budgetBytes: number) {
    this.dir = dir;
    this.keeper = new LogKeeper({
      find: (id) => this.#infos.get(id),
      ids: () => [...this.#infos.keys()],
      dirOf: () => dir,
      budgetBytes,
      log: { warn: (text, detail) => assert.fail(`${text} ${JSON.stringify(detail)}`) },
      onTrim: (c, { file }) => this.trimmed.push(`${c.id} ${file.slice(-6)}`),
    });
  }

  static async make({ budgetBytes = 0 } = {}): Promise<Logs> {
    return new Logs(await mkdtemp(join(tmpdir(), "gantry-log-")), budgetBytes);
  }

  async add(id: string, Type: string, Config: Record<string, string>, files: number) {
    const base = Type === "json-file" ? `${id}-json.log` : "container-cached.log";
    const common = { name: id, imageId: "", imageName: "", created: "", path: "", args: [] };
    this.#infos.set(id, { id, ...common, config: {}, hostConfig: { LogConfig: { Type, Config } } });
    const path = join(this.dir, base);
    for (let n = 1; n <= files; n++) await writeFile(generationPath(path, n), noise(n));
    return path;
  }

  async names(): Promise<string[]> {
    return (await readdir(this.dir)).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.keeper.close();
    await rm(this.dir, { recursive: true });
  }
}

test("rotated files are compressed, the newest and those beyond max-file are not kept so", async () => {
  await using logs = await Logs.make();
  const options = { "max-size": "64k", "max-file": "3", compress: "true" };
  const path = await logs.add("a", "json-file", options, 5);
  await writeFile(`${generationPath(path, 4)}.zst.tmp`, "what a killed daemon left");
  logs.keeper.tidy("a");
  await logs.keeper.idle();
  assert.deepEqual(await logs.names(), [
    "a-json.log.000003.zst",
    "a-json.log.000004.zst",
    "a-json.log.000005",
  ]);
});

test("what is not shipped is neither compressed nor removed", async () => {
  await using logs = await Logs.make();
  const path = await logs.add("s", "syslog", { "cache-max-file": "2" }, 4);
  logs.keeper.tidy("s");
  await logs.keeper.idle();
  const names = [1, 2, 3, 4].map((n) => `container-cached.log.00000${n}`);
  assert.deepEqual(await logs.names(), names);
  await writeFile(`${path}.shipped`, "4:8");
  logs.keeper.tidy("s");
  await logs.keeper.idle();
  assert.deepEqual(await logs.names(), [
    "container-cached.log.000003.zst",
    "container-cached.log.000004",
    "container-cached.log.shipped",
  ]);
});

test("over the budget, the oldest files of the largest log go first, and never a newest one", async () => {
  await using logs = await Logs.make({ budgetBytes: 3.5 * FILE_BYTES });
  const options = { "max-size": "64k", "max-file": "9" };
  await logs.add("small", "json-file", options, 2);
  await logs.add("large", "json-file", options, 4);
  logs.keeper.tidy("small");
  logs.keeper.tidy("large");
  await logs.keeper.idle();
  assert.deepEqual(logs.trimmed, ["large 000001", "large 000002", "small 000001"]);
  const left = ["large-json.log.000003", "large-json.log.000004", "small-json.log.000002"];
  assert.deepEqual(await logs.names(), left);
  assert(logs.keeper.usage().bytes <= 3.5 * FILE_BYTES);
});
