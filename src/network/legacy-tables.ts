// The tables of iptables-legacy (ip_tables), which nftables does not show: the kernel says in
// /proc/net/ip_tables_names whether there are any, and only their own tool reads and changes them.
// It runs only where they exist.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { messageOf } from "../base/index.ts";
import type { Native } from "../native/index.ts";
import type { ForeignDrop } from "./foreign-firewalls.ts";

const run = promisify(execFile);
const NAMES_BYTES_MAX = 4096;
const DEADLINE_MS = 10_000;
const LOCK_SECONDS = "5";
const TOOLS = {
  "/proc/net/ip_tables_names": "iptables",
  "/proc/net/ip6_tables_names": "ip6tables",
};

export class LegacyTables {
  readonly #native: Native;
  readonly #enter: readonly string[];
  readonly #rule: readonly string[];
  readonly #comment: string;

  constructor(o: { native: Native; enter: readonly string[]; comment: string; mark: number }) {
    this.#native = o.native;
    this.#enter = o.enter;
    this.#comment = o.comment;
    const mark = `0x${o.mark.toString(16)}`;
    const match = ["-m", "mark", "--mark", `${mark}/${mark}`];
    this.#rule = [...match, "-m", "comment", "--comment", o.comment, "-j", "ACCEPT"];
  }

  /** As ForeignFirewalls.refresh(); `vouch` is called before a rule is put. */
  async refresh(may: boolean, vouch: () => Promise<void>): Promise<ForeignDrop[]> {
    const found: ForeignDrop[] = [];
    for (const tool of await this.#tools()) {
      const drop = await this.#look(tool, may, vouch);
      if (drop) found.push(drop);
    }
    return found;
  }

  async remove(): Promise<void> {
    for (const tool of await this.#tools()) {
      for (const chain of ["DOCKER-USER", "FORWARD"]) {
        if (this.#has(await this.#chain(tool, chain))) {
          await this.#iptables(tool, "-D", chain, ...this.#rule);
        }
      }
    }
  }

  /** The tools of the families that have a filter table. */
  async #tools(): Promise<string[]> {
    const paths = Object.keys(TOOLS) as (keyof typeof TOOLS)[];
    const results = await this.#native.run({
      host: paths.map((path) => ({
        op: "readFile" as const,
        path,
        max: NAMES_BYTES_MAX,
        missingOk: true,
      })),
    });
    return paths.flatMap((path, index) => {
      const names = results.has(index) ? new TextDecoder().decode(results.bytes(index)) : "";
      return names.split("\n").includes("filter") ? [TOOLS[path]] : [];
    });
  }

  async #look(
    tool: string,
    may: boolean,
    vouch: () => Promise<void>,
  ): Promise<ForeignDrop | undefined> {
    const chain = `${tool}-legacy filter FORWARD`;
    try {
      const forward = await this.#chain(tool, "FORWARD");
      const drops = forward.some((line) =>
        /^(-P FORWARD DROP|-A FORWARD -j (DROP|REJECT\b.*))$/.test(line),
      );
      if (!drops) return undefined;
      if (!may) return { chain, accepted: false };
      const user = await this.#chain(tool, "DOCKER-USER");
      const [name, rules] = user.length > 0 ? ["DOCKER-USER", user] : ["FORWARD", forward];
      await vouch();
      if (!this.#has(rules)) await this.#iptables(tool, "-I", name, ...this.#rule);
      return { chain, accepted: true };
    } catch (error) {
      return { chain, accepted: false, problem: messageOf(error) };
    }
  }

  #has(lines: readonly string[]): boolean {
    return lines.some((line) => line.includes(`--comment "${this.#comment}"`));
  }

  /** Its lines as `-S` prints them; none where there is no such chain. */
  async #chain(tool: string, name: string): Promise<string[]> {
    try {
      return (await this.#iptables(tool, "-S", name)).split("\n").filter((line) => line !== "");
    } catch (error) {
      if (name === "FORWARD") throw error;
      return [];
    }
  }

  async #iptables(tool: string, ...args: string[]): Promise<string> {
    const [program = "", ...before] = [...this.#enter, `${tool}-legacy`];
    const all = [...before, "-w", LOCK_SECONDS, ...args];
    const { stdout } = await run(program, all, { timeout: DEADLINE_MS });
    return stdout;
  }
}
