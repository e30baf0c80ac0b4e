// The daemon's side of the resolver (native/resolver.c): the process that answers on 127.0.0.11 in
// containers and goes on while the daemon is away. It is started with the first container of a
// user's network. What it is to know follows from the attachments on record, so a resolver or a
// daemon that was killed is made whole again from them.

import { type Logger, messageOf } from "../base/index.ts";
import type { Native, Operation } from "../native/index.ts";
import type { AttachmentRecord } from "./contract.ts";
import { planSandbox } from "./dns-sandbox.ts";
import { DnsTables, foldName } from "./dns-tables.ts";
import { persist } from "./persist.ts";
import {
  connectResident,
  type ResidentClient,
  type ResidentKind,
  startResident,
} from "./resident-client.ts";

const KIND: ResidentKind = { called: "resolver", greeting: "gantry-resolver 2", replaced: true };
const SLOT_NETNS = 39;
/** As many networks of one container as the resolver searches. */
const ZONES_MAX = 128;

/** The namespaces of one container's run: where the resolver listens and whom it asks. */
interface Sandbox {
  /** Networks in the order in which they are searched; the same record may be there once only. */
  records: AttachmentRecord[];
}

export class DnsSession {
  readonly path: string;
  readonly #native: Native;
  readonly #command: readonly string[];
  readonly #idleMs: number | undefined;
  readonly #log: Logger;
  readonly #redirects: () => boolean;
  readonly #tables = new DnsTables();
  readonly #sandboxes = new Map<string, Sandbox>();
  #current: Promise<ResidentClient> | undefined;
  #closing = false;

  constructor(o: {
    path: string;
    native: Native;
    command: readonly string[];
    idleMs?: number | undefined;
    log: Logger;
    /** Whether nftables can be used. */
    redirects: () => boolean;
  }) {
    this.path = o.path;
    this.#native = o.native;
    this.#command = o.command;
    this.#idleMs = o.idleMs;
    this.#log = o.log;
    this.#redirects = o.redirects;
  }

  /** Makes an endpoint known by its names, and its container able to ask. */
  async join(record: AttachmentRecord): Promise<void> {
    if (!record.dns) return;
    const lines = this.#add(record);
    await this.#tell(await this.#resolver(), lines);
  }

  /** Takes an endpoint's names back; the sandbox of its last one is closed. */
  async leave(record: AttachmentRecord): Promise<void> {
    if (!record.dns) return;
    const lines = this.#tables.withdraw(record);
    const { sandbox: key } = record.dns;
    const sandbox = this.#sandboxes.get(key);
    if (sandbox) {
      sandbox.records = sandbox.records.filter((one) => one.endpointId !== record.endpointId);
      if (sandbox.records.length > 0) lines.push(this.#sandboxLine(key));
      else {
        this.#sandboxes.delete(key);
        lines.push(`close ${key}`);
      }
    }
    if (this.#current) await this.#tell(await this.#current, lines);
  }

  /** Changes the names of an endpoint (a container is renamed), or whom it asks. */
  async rename(record: AttachmentRecord, change: () => void): Promise<void> {
    const before = this.#tables.withdraw(record);
    change();
    const after = this.#tables.publish(record);
    // What is said again is not taken back first: no name is missing for a moment.
    const kept = new Set(after.map(subjectOf));
    const lines = [...before.filter((line) => !kept.has(subjectOf(line))), ...after];
    if (record.dns && this.#sandboxes.has(record.dns.sandbox)) {
      lines.push(this.#sandboxLine(record.dns.sandbox));
    }
    if (this.#current) await this.#tell(await this.#current, lines);
  }

  /** Operations that open the container's namespace (slot) to the resolver; `pid`: its init where
   * it runs already. */
  planOpen(key: string, netns: number, pid?: number): Operation[] {
    return planSandbox({ key, path: this.path, netns, redirect: this.#redirects(), pid });
  }

  /** At the daemon's start: what lives is what the resolver is to know, and nothing else. */
  async start(live: readonly AttachmentRecord[]): Promise<void> {
    this.#tables.clear();
    this.#sandboxes.clear();
    for (const record of live) this.#add(record);
    if (this.#sandboxes.size > 0) await this.#resolver();
    const running = await (this.#current ?? connectResident(KIND, this.path));
    if (!running) return;
    this.#current ??= Promise.resolve(this.#watch(running));
    await this.#reconcile(running);
  }

  async close(): Promise<void> {
    this.#closing = true;
    const resolver = await this.#current?.catch(() => undefined);
    if (!resolver) return;
    if (this.#sandboxes.size === 0) await resolver.stop().catch(() => {});
    resolver.close();
  }

  #add(record: AttachmentRecord): string[] {
    if (!record.dns) return [];
    const { sandbox: key } = record.dns;
    const sandbox = this.#sandboxes.get(key) ?? { records: [] };
    sandbox.records.push(record);
    this.#sandboxes.set(key, sandbox);
    return [...this.#tables.publish(record), this.#sandboxLine(key)];
  }

  #sandboxLine(key: string): string {
    const { records } = this.#sandboxes.get(key)!;
    const zones = [...new Set(records.map(({ networkId }) => networkId))].slice(0, ZONES_MAX);
    const servers = records.find(({ dns }) => dns?.servers.length)?.dns?.servers ?? [];
    const links = records.flatMap(({ dns }) => Object.entries(dns?.links ?? {}));
    const pairs = links.map(([alias, name]) => `${foldName(alias)}=${foldName(name)}`);
    return ["sandbox", key, ...[zones, servers, pairs].map((list) => list.join(",") || "-")].join(
      " ",
    );
  }

  /** What was not said again goes in the end, so no name is missing for a moment. */
  async #reconcile(resolver: ResidentClient): Promise<void> {
    const { items } = await resolver.ask("list");
    const open = new Set<string>();
    const strays: string[] = [];
    for (const [what, key = "", state] of items) {
      if (what !== "sandbox") continue;
      if (!this.#sandboxes.has(key)) strays.push(`close ${key}`);
      else if (state === "open") open.add(key);
    }
    const sandboxes = [...this.#sandboxes.keys()];
    const lines = ["mark", ...this.#tables.everything(), "sweep"];
    await this.#tell(resolver, [
      ...lines,
      ...sandboxes.map((key) => this.#sandboxLine(key)),
      ...strays,
    ]);
    await Promise.all(sandboxes.filter((key) => !open.has(key)).map((key) => this.#reopen(key)));
  }

  /** The sockets went with an earlier resolver: new ones for a container that runs. */
  async #reopen(key: string): Promise<void> {
    const pid = this.#sandboxes.get(key)?.records.find(({ dns }) => dns?.pid)?.dns?.pid;
    if (!pid) return;
    try {
      await this.#native.run({
        host: [
          { op: "open", path: `/proc/${pid}/ns/net`, flags: 0, to: SLOT_NETNS },
          ...this.planOpen(key, SLOT_NETNS, pid),
        ],
      });
    } catch (error) {
      this.#log.warn("Failed to give a container its name server back", {
        pid,
        error: messageOf(error),
      });
    }
  }

  async #tell(resolver: ResidentClient, lines: readonly string[]): Promise<void> {
    const answers = await Promise.all(lines.map((line) => resolver.ask(line)));
    answers.forEach(({ errno }, index) => {
      if (errno === undefined) return;
      this.#log.warn("The resolver refuses what it is told", { line: lines[index], errno });
    });
  }

  #resolver(): Promise<ResidentClient> {
    this.#current ??= startResident(KIND, {
      path: this.path,
      command: this.#command,
      idleMs: this.#idleMs,
    })
      .then((client) => this.#watch(client))
      .catch((error) => {
        this.#current = undefined;
        throw error;
      });
    return this.#current;
  }

  #watch(client: ResidentClient): ResidentClient {
    void client.closed.then(async () => {
      this.#current = undefined;
      const isNeeded = () => !this.#closing && this.#sandboxes.size > 0;
      if (isNeeded()) this.#log.warn("The resolver has ended; another one takes over");
      await persist(async () => await this.#reconcile(await this.#resolver()), {
        isNeeded,
        failed: (error) =>
          this.#log.error("Failed to start the resolver again", { error: messageOf(error) }),
      });
    });
    return client;
  }
}

/** What a line of the tables is about: everything but its last word. */
const subjectOf = (line: string): string => line.slice(0, line.lastIndexOf(" "));
