// TLS for the registry's address. Certificate and key are read again when their files change (file
// events of their folders, so that renames and swapped symbolic links are seen): new connections
// get the new certificate, and what does not load leaves the old one in force. With authorities for
// client certificates it is mutual, and the certificate's common name is the user.

import { X509Certificate } from "node:crypto";
import { type FSWatcher, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { dirname } from "node:path";
import {
  createSecureContext,
  type SecureContextOptions,
  type TlsOptions as ServerOptions,
  TLSSocket,
} from "node:tls";
import { GantryError, type Logger, messageOf, silentLogger } from "../../base/index.ts";
import type { TlsOptions } from "./options.ts";

const settleMs = 200; // certificate and key are two files, written one after the other

export interface RegistryTls {
  /** For https.createServer. */
  serverOptions: ServerOptions;
  /** Hands renewed certificates to a server (https.Server or tls.Server). */
  attach(server: { setSecureContext(options: SecureContextOptions): void }): void;
  /** Reads the files now (SIGHUP). Throws when they are wrong; the old ones stay in force. */
  reload(): Promise<void>;
  close(): void;
}

/** Throws GantryError invalid when the files do not make a TLS server. */
export async function createTls(
  options: TlsOptions,
  { logger = silentLogger }: { logger?: Logger } = {},
): Promise<RegistryTls> {
  let context = await load(options);
  const servers = new Set<{ setSecureContext(options: SecureContextOptions): void }>();
  const watchers: FSWatcher[] = [];
  let settling: NodeJS.Timeout | undefined;

  async function reload(): Promise<void> {
    const renewed = await load(options);
    if (renewed.cert === context.cert && renewed.key === context.key && renewed.ca === context.ca)
      return;
    context = renewed;
    for (const server of servers) server.setSecureContext(context);
    logger.info("The TLS certificate was renewed", { path: options.certificate });
  }
  function changed(): void {
    clearTimeout(settling);
    settling = setTimeout(() => {
      reload().catch((error) => logger.error("Keeping the old TLS certificate", { error }));
    }, settleMs).unref();
  }
  const folders = new Set(filesOf(options).map((path) => dirname(path)));
  try {
    for (const folder of folders) {
      const watcher = watch(folder, { persistent: false }, changed);
      watcher.on("error", (error) => logger.warn("Cannot watch certificates", { folder, error }));
      watchers.push(watcher);
    }
  } catch (error) {
    logger.warn("Cannot watch certificates: send SIGHUP when they change", { error });
  }

  const mutual = options.clientCertificateAuthorities !== undefined;
  return {
    serverOptions: {
      ...context,
      ...(mutual && {
        requestCert: true,
        rejectUnauthorized: options.clientCertificates !== "optional",
      }),
    },
    attach: (server) => {
      servers.add(server);
      server.setSecureContext(context);
    },
    reload,
    close: () => {
      clearTimeout(settling);
      for (const watcher of watchers) watcher.close();
      servers.clear();
    },
  };
}

function filesOf(options: TlsOptions): string[] {
  return [options.certificate, options.key, options.clientCertificateAuthorities].filter(
    (path) => path !== undefined,
  );
}

async function load(options: TlsOptions): Promise<SecureContextOptions> {
  try {
    const [cert = "", key = "", ca] = await Promise.all(
      filesOf(options).map((path) => readFile(path, "utf8")),
    );
    const context = {
      cert,
      key,
      minVersion: options.minimumVersion ?? "TLSv1.2",
      ...(ca !== undefined && { ca }),
    } as const;
    createSecureContext(context);
    if (ca !== undefined) new X509Certificate(ca);
    return context;
  } catch (error) {
    throw new GantryError(
      "invalid",
      `Load TLS certificate "${options.certificate}": ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

/** The common name of a client certificate that was verified; undefined for every other socket. */
export function certificateSubject(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const name = socket.getPeerCertificate().subject?.CN as string | string[] | undefined;
  const first = Array.isArray(name) ? name[0] : name;
  // A name with odd characters would be somebody else's in a log line or a glob.
  return first !== undefined && /^[\w.@+-]{1,128}$/.test(first) ? first : undefined;
}
