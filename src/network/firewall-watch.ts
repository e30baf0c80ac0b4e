// Hears of changes of nftables as they happen (native/firewall-watch.c): no polling.

import { spawn } from "node:child_process";
import { type Logger, messageOf } from "../base/index.ts";

/** Runs `changed` now, when the watch has begun, and at each change of others, one at a time. */
export class FirewallWatch implements Disposable {
  readonly #child;
  readonly #log: Logger;
  readonly #changed: () => Promise<unknown>;
  #running = false;
  #again = false;
  #ended = false;

  constructor(o: { command: readonly string[]; log: Logger; changed: () => Promise<unknown> }) {
    this.#log = o.log;
    this.#changed = o.changed;
    const [program = "", ...args] = o.command;
    this.#child = spawn(program, args, { stdio: ["pipe", "pipe", "ignore"], cwd: "/", env: {} });
    this.#child.once("error", (error) => this.#gone(messageOf(error)));
    this.#child.once("exit", (code, signal) => this.#gone(`it ended: ${signal ?? code}`));
    // A process that could not be started for want of descriptors has no pipes.
    this.#child.stdout?.on("data", () => void this.#look());
    this.#child.stdin?.on("error", () => {});
    this.#child.unref();
    for (const pipe of [this.#child.stdin, this.#child.stdout]) {
      (pipe as unknown as { unref?: () => void } | undefined)?.unref?.();
    }
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#child.stdin?.destroy();
    this.#child.stdout?.destroy();
  }

  async #look(): Promise<void> {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    while (this.#again && !this.#ended) {
      this.#again = false;
      try {
        await this.#changed();
      } catch (error) {
        this.#log.warn("Failed to look at the firewalls of this host", {
          error: messageOf(error),
        });
      }
    }
    this.#running = false;
  }

  #gone(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#log.warn("Changes of other firewalls are not seen until the daemon starts again", {
      why,
    });
  }
}
