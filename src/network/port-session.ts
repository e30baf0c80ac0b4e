// The daemon's standing connection to the port holder: started when first needed, and started
// again, with every published port bound anew, should it ever end.

import { type Logger, messageOf } from "../base/index.ts";
import { persist } from "./persist.ts";
import {
  connectPortHolder,
  type HeldPort,
  type PortHolder,
  startPortHolder,
} from "./port-holder.ts";

export class PortSession {
  readonly #path: string;
  readonly #command: readonly string[];
  readonly #idleMs: number | undefined;
  readonly #log: Logger;
  /** What must be bound now. */
  readonly #wanted: () => HeldPort[];
  #current: Promise<PortHolder> | undefined;
  #closing = false;

  constructor(o: {
    path: string;
    command: readonly string[];
    idleMs?: number | undefined;
    log: Logger;
    wanted: () => HeldPort[];
  }) {
    this.#path = o.path;
    this.#command = o.command;
    this.#idleMs = o.idleMs;
    this.#log = o.log;
    this.#wanted = o.wanted;
  }

  /** The holder, started where it does not run. */
  holder(): Promise<PortHolder> {
    this.#current ??= this.#open().catch((error) => {
      this.#current = undefined;
      throw error;
    });
    return this.#current;
  }

  /** Makes a holder of an earlier daemon hold exactly what is wanted. */
  async reconcile(): Promise<void> {
    const wanted = this.#wanted();
    if (wanted.length === 0 && !this.#current) {
      const running = await connectPortHolder(this.#path);
      if (!running) return;
      this.#current = Promise.resolve(this.#watch(running));
    }
    const holder = await this.holder();
    // Port by port: a daemon may have died between binding one more and putting it on record.
    const known = new Set(wanted.flatMap(sockets));
    const strays = (await holder.list()).filter(
      (held) => !sockets(held).every((s) => known.has(s)),
    );
    await Promise.all(strays.map(({ key, ...one }) => holder.unbind(key, one)));
    const answers = await Promise.all(wanted.map((port) => holder.bind(port)));
    answers.forEach((errno, index) => {
      if (errno === undefined) return;
      const { protocol, ip, port } = wanted[index]!;
      this.#log.warn("Failed to bind a published port again", { protocol, ip, port, errno });
    });
  }

  /** The holder, where one runs. */
  running(): Promise<PortHolder | undefined> {
    return this.#current ?? connectPortHolder(this.#path);
  }

  async unbind(key: string): Promise<void> {
    if (this.#current) await (await this.#current).unbind(key);
  }

  /** Ends the holder when nothing is wanted of it; otherwise it goes on without us. */
  async close(): Promise<void> {
    this.#closing = true;
    const holder = await this.#current?.catch(() => undefined);
    if (!holder) return;
    if (this.#wanted().length === 0) await holder.stop().catch(() => {});
    holder.close();
  }

  async #open(): Promise<PortHolder> {
    const idle = this.#idleMs === undefined ? {} : { idleMs: this.#idleMs };
    return this.#watch(
      await startPortHolder({ path: this.#path, command: this.#command, ...idle }),
    );
  }

  #watch(holder: PortHolder): PortHolder {
    void holder.closed.then(async () => {
      this.#current = undefined;
      const isNeeded = () => !this.#closing && this.#wanted().length > 0;
      if (isNeeded()) this.#log.warn("The port holder has ended; its ports are bound again");
      await persist(() => this.reconcile(), {
        isNeeded,
        failed: (error) =>
          this.#log.error("Failed to bind the published ports again", { error: messageOf(error) }),
      });
    });
    return holder;
  }
}

/** Each port of a row, in each family that it takes, as text to compare. */
function sockets({ key, protocol, ip, port, target4, count = 1 }: HeldPort): string[] {
  const ips = target4 ? [ip, "0.0.0.0"] : [ip];
  return Array.from({ length: count }, (_, at) => port + at).flatMap((number) =>
    ips.map((one) => `${key} ${protocol} ${one} ${number}`),
  );
}
