// A real rsyslog as the receiver of syslog messages: on free ports of loopback, over TLS, and on a
// unix datagram socket. Looked for in GANTRY_TEST_RSYSLOG, else where .ci/run unpacks it.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Certificate } from "./certificates.ts";

const unpacked = fileURLToPath(new URL("../../.gantry-cache/rsyslog", import.meta.url));
const root = process.env["GANTRY_TEST_RSYSLOG"] || unpacked;
const program = join(root, "usr/sbin/rsyslogd");

export function whyNoRsyslog(): string | false {
  return existsSync(program) ? false : `rsyslog is not in ${root} (GANTRY_TEST_RSYSLOG)`;
}

export interface RsyslogLine {
  priority: number;
  host: string;
  program: string;
  pid: string;
  time: string;
  text: string;
}

const FIELDS = "%PRI%\\t%HOSTNAME%\\t%APP-NAME%\\t%PROCID%\\t%TIMESTAMP:::date-rfc3339%\\t%msg%\\n";

async function answers(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => socket.end(() => resolve(true)));
    socket.once("error", () => resolve(false));
  });
}

export class Rsyslog {
  readonly folder: string;
  readonly socket: string;
  #child: ChildProcess | undefined;
  #said = "";

  static async make(trust: { authority: Certificate; server: Certificate }): Promise<Rsyslog> {
    const rsyslog = new Rsyslog(await mkdtemp(join(tmpdir(), "gantry-rsyslog-")));
    await writeFile(join(rsyslog.folder, "ca.pem"), trust.authority.pem);
    await writeFile(join(rsyslog.folder, "cert.pem"), trust.server.pem);
    await writeFile(join(rsyslog.folder, "key.pem"), trust.server.keyPem);
    return rsyslog;
  }

  constructor(folder: string) {
    this.folder = folder;
    this.socket = join(folder, "log");
  }

  /** A port that it had before it gets again. */
  async start({ tls }: { tls: boolean }): Promise<number> {
    const { folder } = this;
    const portFile = join(folder, "port");
    const former = Number(await readFile(portFile, "utf8").catch(() => "0"));
    const driver = tls ? 'streamDriver.name="ossl" streamDriver.mode="1"' : "";
    const config = [
      `global(defaultNetstreamDriverCAFile="${folder}/ca.pem"`,
      `  defaultNetstreamDriverCertFile="${folder}/cert.pem"`,
      `  defaultNetstreamDriverKeyFile="${folder}/key.pem" workDirectory="${folder}")`,
      `module(load="imtcp" ${driver} ${tls ? 'streamDriver.authMode="anon"' : ""})`,
      'module(load="imuxsock" sysSock.use="off")',
      `input(type="imtcp" port="${former}" address="127.0.0.1"`,
      `  listenPortFileName="${portFile}")`,
      `input(type="imuxsock" socket="${this.socket}" rateLimit.interval="0")`,
      `template(name="t" type="string" string="${FIELDS}")`,
      `*.* action(type="omfile" file="${folder}/out" template="t")`,
    ];
    await writeFile(join(folder, "rsyslog.conf"), `${config.join("\n")}\n`);
    const libraries = globSync(join(root, "{usr/,}lib/*-linux-gnu"));
    const modules = libraries
      .map((path) => join(path, "rsyslog"))
      .filter((path) => existsSync(path));
    const args = ["-n", "-f", join(folder, "rsyslog.conf"), "-i", "NONE", "-M", modules.join(":")];
    this.#child = spawn(program, args, {
      env: { LD_LIBRARY_PATH: libraries.join(":") },
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#child.stderr!.on("data", (chunk) => (this.#said += chunk));
    for (;;) {
      const port = Number(await readFile(portFile, "utf8").catch(() => "0"));
      if (port > 0 && (await answers(port))) return port;
      if (this.#child.exitCode !== null) throw new Error(`rsyslog ends:\n${this.#said}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async lines(): Promise<RsyslogLine[]> {
    const text = await readFile(join(this.folder, "out"), "utf8").catch(() => "");
    const own = text.split("\n").slice(0, -1);
    return own.map((line) => {
      const [priority, host = "", name = "", pid = "", time = "", ...rest] = line.split("\t");
      const message = rest.join("\t").replace(/^ /, "");
      return { priority: Number(priority), host, program: name, pid, time, text: message };
    });
  }

  /** Resolves with the lines when all of `texts` have come. */
  async has(texts: readonly string[]): Promise<RsyslogLine[]> {
    for (;;) {
      const lines = await this.lines();
      const got = new Set(lines.map(({ text }) => text));
      if (texts.every((text) => got.has(text))) return lines;
      if (this.#child?.exitCode !== null) throw new Error(`rsyslog ends:\n${this.#said}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill(signal);
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }
}
