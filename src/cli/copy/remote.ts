// The archive endpoints of a container, as `cp` uses them.

import { isAbsolute, posix } from "node:path";
import { GantryError } from "../../base/index.ts";
import type { Client } from "../../client/index.ts";
import { segment } from "../commands/each.ts";
import type { Kind } from "./location.ts";

interface PathStat {
  name: string;
  size: number;
  mode: number;
  linkTarget: string;
}

const GO_MODE_DIR = 2 ** 31;
const GO_MODE_SYMLINK = 2 ** 27;
const isDirMode = (mode: number) => mode >= GO_MODE_DIR;
const isLinkMode = (mode: number) => Math.floor(mode / GO_MODE_SYMLINK) % 2 === 1;

export class RemoteFiles {
  readonly container: string;
  #client: Client;
  #signal: AbortSignal;
  #path: string;

  constructor(client: Client, container: string, signal: AbortSignal) {
    this.container = container;
    this.#client = client;
    this.#signal = signal;
    this.#path = `/containers/${segment(container)}/archive`;
  }

  /** Undefined when the daemon refuses: what is wrong will be said of the copy itself. */
  async stat(path: string): Promise<PathStat | undefined> {
    try {
      const { headers, body } = await this.#client.call("HEAD", this.#path, { query: { path } });
      for await (const _ of body);
      return decodeStat(headers["x-docker-container-path-stat"]);
    } catch (error) {
      if (isRefusal(error)) return undefined;
      throw error;
    }
  }

  /** Where a link leads; the path itself when it is none. */
  async follow(path: string): Promise<{ path: string; stat: PathStat | undefined }> {
    const stat = await this.stat(path);
    if (!stat || !isLinkMode(stat.mode)) return { path, stat };
    const target = isAbsolute(stat.linkTarget)
      ? stat.linkTarget
      : posix.join(posix.dirname(path), stat.linkTarget);
    return { path: target, stat: await this.stat(target) };
  }

  async get(path: string): Promise<{ isDir: boolean; name: string; tar: AsyncIterable<Buffer> }> {
    const { headers, body } = await this.#client.call("GET", this.#path, {
      query: { path },
      signal: this.#signal,
    });
    const stat = decodeStat(headers["x-docker-container-path-stat"]);
    return { isDir: isDirMode(stat.mode), name: stat.name, tar: body as AsyncIterable<Buffer> };
  }

  async put(folder: string, tar: AsyncIterable<Uint8Array>, archive: boolean): Promise<void> {
    const copyUIDGID = archive || undefined;
    await this.#client.empty("PUT", this.#path, {
      query: { noOverwriteDirNonDir: true, copyUIDGID, path: folder },
      body: tar,
      contentType: "application/x-tar",
      signal: this.#signal,
    });
  }

  /** The paths that a pattern matches inside the container; none is an error. */
  async glob(pattern: string): Promise<string[]> {
    const answer = await this.#client
      .json<{ Matches: string[] }>("GET", `${this.#path}/glob`, {
        query: { pattern },
        signal: this.#signal,
      })
      .catch((cause: unknown) => {
        const unknown = isRefusal(cause) && /page not found/.test(cause.message);
        const message = "this daemon knows no patterns in container paths";
        throw unknown ? new GantryError("not-implemented", message, { cause }) : cause;
      });
    if (answer.Matches.length > 0) return answer.Matches;
    const where = `container ${this.container}`;
    throw new GantryError("not-found", `no file matches ${pattern} in ${where}`);
  }
}

export function kindOf(stat: PathStat | undefined): Kind {
  return { exists: stat !== undefined, isDir: stat !== undefined && isDirMode(stat.mode) };
}

const isRefusal = (error: unknown): error is GantryError =>
  error instanceof GantryError && error.detail["status"] !== undefined;

function decodeStat(header: string | undefined): PathStat {
  if (header === undefined) throw new GantryError("invalid", "The daemon sent no path statistics");
  return JSON.parse(Buffer.from(header, "base64").toString()) as PathStat;
}
