// The parts of the logs that an engine has from its start on.

import { GantryError, messageOf } from "../../base/index.ts";
import { announce } from "../containers/announce.ts";
import type { EngineContext, EngineOptions } from "../context.ts";
import { remoteDriver } from "../log-drivers/index.ts";
import type { EnginePaths } from "../paths.ts";
import { logBudget } from "./budget.ts";
import { LogKeeper } from "./keeper.ts";
import { checkLogOptions } from "./validate.ts";

export async function openLogKeeper(
  engine: () => EngineContext,
  options: EngineOptions,
  paths: EnginePaths,
): Promise<LogKeeper> {
  const budgetBytes = await logBudget(options.logBudgetBytes, options.dataRoot);
  return new LogKeeper({
    find: (id) => engine().containers.get(id),
    ids: () =>
      engine()
        .containers.all()
        .map(({ id }) => id),
    dirOf: (id) => paths.container(id).dir,
    budgetBytes,
    log: {
      warn: (text, detail) => engine().log.warn(text, detail),
    },
    onTrim: (c, { file, bytes }) => {
      const record = engine().containers.get(c.id);
      if (record) announce(engine(), record, "log-trim", { file, bytes: String(bytes) });
      const detail = { id: c.id, file, bytes, budgetBytes };
      engine().log.warn("Removed a rotated log: all logs together are over log-budget", detail);
    },
  });
}

/** The daemon's own log-driver and log-opts. Throws invalid in dockerd's words. */
export function checkDefaultLog({ logDriver, logOptions }: EngineOptions["defaults"]): void {
  // Each container may give what is missing: dockerd looks only at options that are there.
  if (Object.keys(logOptions).length === 0) return;
  try {
    checkLogOptions(logDriver, logOptions, remoteDriver);
  } catch (cause) {
    throw new GantryError(
      "invalid",
      `failed to set log opts: failed to set log opts: ${messageOf(cause)}`,
      { cause },
    );
  }
}
