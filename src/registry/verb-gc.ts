// `gantry registry gc`: the collector once, beside registries that go on serving the same store.

import {
  createLogger,
  defineFlags,
  GantryError,
  humanSize,
  type LogLevel,
  parseDuration,
} from "../base/index.ts";
import { type RegistryConfig, readConfig } from "./config.ts";
import { collectGarbage, type GarbageReport, type Tally } from "./garbage.ts";
import type { Verb } from "./main.ts";
import { openStore } from "./open-registry.ts";

const NANOSECONDS_PER_MILLISECOND = 1e6;

const flags = defineFlags({
  config: { type: "string", valueName: "FILE", usage: "Configuration file of the registry" },
  "dry-run": { type: "bool", usage: "Only say what would be done" },
  grace: {
    type: "string",
    valueName: "TIME",
    usage: "What was in use within this time stays (default 24h)",
  },
  "log-level": { type: "string", usage: '"debug", "info", "warn" or "error" (default "warn")' },
  root: { type: "string", valueName: "DIR", usage: "Folder that images are kept in" },
  untagged: { type: "bool", usage: "Also manifests that no tag, index or subject leads to" },
});

export const verb: Verb<typeof flags> = {
  usage: "--root DIR [--dry-run] [--untagged] [--config FILE]",
  short: "Remove what nothing refers to, beside registries that go on serving",
  flags,
  arguments: { min: 0, max: 0 },
  async run({ values }) {
    const file: RegistryConfig = values.config === "" ? {} : await readConfig(values.config);
    if (values.root !== "" && file.s3) {
      throw new GantryError("invalid", "--root and s3 in --config exclude one another");
    }
    const config = values.root === "" ? file : { ...file, root: values.root };
    const graceMs =
      values.grace === ""
        ? file.collect?.graceMs
        : parseDuration(values.grace) / NANOSECONDS_PER_MILLISECOND;
    const level = (values["log-level"] || "warn") as LogLevel;
    const store = await openStore(config);
    try {
      const report = await collectGarbage(store, {
        ...(graceMs !== undefined && { graceMs }),
        ...(file.collect?.uploadAgeMsMax !== undefined && {
          uploadAgeMsMax: file.collect.uploadAgeMsMax,
        }),
        removeUntagged: values.untagged || (file.collect?.untagged ?? false),
        dryRun: values["dry-run"],
        logger: createLogger({ level }),
      });
      process.stdout.write(told(report, values["dry-run"]));
      return 0;
    } finally {
      await store.close();
    }
  },
};

/** Exported for tests. */
export function told(report: GarbageReport, dryRun: boolean): string {
  const { repositories, manifests, quarantined, removed, restored, uploadsExpired } = report;
  const would = dryRun ? "would be " : "";
  const line = (what: string, { objects, bytes }: Tally): string =>
    `${what}: ${objects} (${humanSize(bytes)})\n`;
  return (
    `Looked at ${repositories} repositories with ${manifests} manifests\n` +
    line(`Unused, ${would}set aside until a run after the grace`, quarantined) +
    line(`Removed${dryRun ? " (would be)" : ""}`, removed) +
    line("Wanted again and put back", restored) +
    line(`Unfinished uploads ${would}ended`, uploadsExpired)
  );
}
