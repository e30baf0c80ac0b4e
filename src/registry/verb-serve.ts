// `gantry registry serve`: flags over the configuration file, then the registry until a signal.
// SIGTERM and SIGINT let transfers end (a third one does not wait), SIGHUP reads certificates again
// and opens the files of log and audit anew. Every address that it listens on is printed on stdout.

import { closeSync, openSync, writeSync } from "node:fs";
import {
  createLogger,
  defineFlags,
  GantryError,
  type Logger,
  type LogLevel,
  type ParsedValues,
} from "../base/index.ts";
import { type RegistryConfig, readConfig } from "./config.ts";
import type { Verb } from "./main.ts";
import { openRegistry } from "./open-registry.ts";

const LEVELS: readonly string[] = ["debug", "info", "warn", "error"];
const FORCE_AFTER_SIGNALS = 3;
const LOG_MODE = 0o640;

const flags = defineFlags({
  addr: {
    type: "stringArray",
    valueName: "HOST:PORT",
    usage: "Address to listen on; port 0 chooses one (default 127.0.0.1:5000)",
  },
  config: { type: "string", valueName: "FILE", usage: "Configuration file (YAML) for the rest" },
  htpasswd: {
    type: "string",
    valueName: "FILE",
    usage: "Password file: only its users may pull and push",
  },
  "log-format": { type: "string", usage: '"text" or "json" (default "text")' },
  "log-level": { type: "string", usage: '"debug", "info", "warn" or "error" (default "info")' },
  "read-only": { type: "bool", usage: "Refuse pushes and deletes" },
  root: { type: "string", valueName: "DIR", usage: "Folder that images are kept in" },
  "tls-cert": { type: "string", valueName: "FILE", usage: "Certificate (PEM): serve https" },
  "tls-key": { type: "string", valueName: "FILE", usage: "The certificate's key (PEM)" },
  validate: { type: "bool", usage: "Check flags and configuration, then exit" },
});

export const verb: Verb<typeof flags> = {
  usage: "--root DIR [--addr HOST:PORT] [--config FILE] [OPTIONS]",
  short: "Serve images",
  flags,
  arguments: { min: 0, max: 0 },
  async run({ values }) {
    const file = values.config === "" ? {} : await readConfig(values.config);
    const config = withFlags(file, values);
    if (config.root === undefined && config.s3 === undefined) {
      throw new GantryError("invalid", "say where images are kept: --root DIR, or s3 in --config");
    }
    if (values.validate) {
      process.stderr.write("configuration OK\n");
      return 0;
    }
    const log = openLog(config.log);
    try {
      await serve(config, log);
      return 0;
    } finally {
      log.close();
    }
  },
};

/** Flags win over the file; they never undo what the file protects. Exported for tests. */
export function withFlags(
  file: RegistryConfig,
  values: ParsedValues<typeof flags>,
): RegistryConfig {
  const config: RegistryConfig = { ...file };
  if (values.addr.length > 0) config.addr = values.addr;
  if (values.root !== "") {
    if (file.s3) throw new GantryError("invalid", "--root and s3 in --config exclude one another");
    config.root = values.root;
  }
  if (values["read-only"]) config.readOnly = true;
  const [certificate, key] = [values["tls-cert"], values["tls-key"]];
  if ((certificate === "") !== (key === "")) {
    throw new GantryError("invalid", "--tls-cert and --tls-key come together");
  }
  if (certificate !== "") config.tls = { ...file.tls, certificate, key };
  if (values.htpasswd !== "") {
    if (file.access?.authentication) {
      const message = "--htpasswd and access.authentication in --config exclude one another";
      throw new GantryError("invalid", message);
    }
    const authentication = { type: "htpasswd", file: values.htpasswd } as const;
    config.access = { ...file.access, authentication };
  }
  const { "log-level": level, "log-format": format } = values;
  if (level !== "" && !LEVELS.includes(level)) {
    throw new GantryError("invalid", `--log-level must be one of ${LEVELS.join(", ")}`);
  }
  if (format !== "" && format !== "text" && format !== "json") {
    throw new GantryError("invalid", '--log-format must be "text" or "json"');
  }
  config.log = {
    ...file.log,
    ...(level !== "" && { level: level as LogLevel }),
    ...(format !== "" && { format }),
  };
  return config;
}

async function serve(config: RegistryConfig, log: Log): Promise<void> {
  const { logger } = log;
  const stop = awaitStop(logger);
  const registry = await openRegistry(config, { logger });
  process.on("SIGHUP", () => {
    log.reopen();
    registry.reload().then(
      () => logger.info("Read certificates again and opened logs anew"),
      (error: unknown) => logger.error("Failed to reload", { error }),
    );
  });
  const where = config.root ?? `bucket ${config.s3?.bucket}`;
  for (const address of registry.addresses) {
    logger.info("Listening", { address, where });
    process.stdout.write(`Listening on ${address}\n`);
  }
  if (registry.debugAddress) logger.info("Metrics and health", { address: registry.debugAddress });
  const signal = await stop;
  logger.info(`Processing signal '${signal}': transfers may end`);
  await registry.close();
  logger.info("Registry shutdown complete");
}

/** Resolves with the first signal that asks to stop; from before anything is opened. */
function awaitStop(logger: Logger): Promise<string> {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  process.on("unhandledRejection", (error) => logger.error("Unhandled rejection", { error }));
  return new Promise((resolve) => {
    let received = 0;
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.on(signal, () => {
        resolve(signal);
        if (++received >= FORCE_AFTER_SIGNALS) process.exit(signal === "SIGINT" ? 130 : 143);
      });
    }
  });
}

interface Log {
  logger: Logger;
  reopen(): void;
  close(): void;
}

/** On stderr, or in a file that others may rotate. */
function openLog({ level = "info", format = "text", file }: RegistryConfig["log"] = {}): Log {
  if (file === undefined) {
    return { logger: createLogger({ level, format }), reopen: () => {}, close: () => {} };
  }
  let descriptor = openSync(file, "a", LOG_MODE);
  const write = (line: string): void => {
    try {
      writeSync(descriptor, line);
    } catch {
      // A full disk must not end the registry.
    }
  };
  const logger = createLogger({ level, format, write });
  const reopen = (): void => {
    try {
      const next = openSync(file, "a", LOG_MODE);
      closeSync(descriptor);
      descriptor = next;
    } catch (error) {
      logger.error("Cannot open the log anew", { error });
    }
  };
  return { logger, reopen, close: () => closeSync(descriptor) };
}
