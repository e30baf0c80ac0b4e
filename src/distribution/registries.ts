// From a reference's registry to where it is spoken to: Docker Hub's real host, mirrors, TLS with
// certs.d, and plain HTTP for registries that are declared insecure (127.0.0.0/8 and ::1 always).

import { readdir, readFile } from "node:fs/promises";
import { BlockList, isIP } from "node:net";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { GantryError, KeyedMutex, kindOf } from "../base/index.ts";
import type { Credentials, DistributionOptions } from "./contract.ts";
import { Gate } from "./gate.ts";
import { exchange, isPlainAnswer, type TlsTrust } from "./http-exchange.ts";
import { Registry } from "./registry.ts";

const HUB_HOST = "registry-1.docker.io";
export type OpenOptions = { credentials?: Credentials; signal?: AbortSignal };

export class Registries {
  readonly options: DistributionOptions;
  readonly downloads: Gate;
  readonly uploads: Gate;
  /** One transfer of a layer at a time: others wait and find it there. */
  readonly transfers = new KeyedMutex();
  #ranges = new BlockList();
  #names = new Set<string>();
  /** TLS material by host, so that connections are reused. */
  #trust = new Map<string, TlsTrust>();

  constructor(options: DistributionOptions) {
    this.options = options;
    this.downloads = new Gate(options.maxConcurrentDownloads);
    this.uploads = new Gate(options.maxConcurrentUploads);
    this.#ranges.addSubnet("127.0.0.0", 8, "ipv4");
    this.#ranges.addAddress("::1", "ipv6");
    for (const entry of options.insecureRegistries) this.#declareInsecure(entry);
  }

  #declareInsecure(entry: string): void {
    const [address = "", prefix] = entry.split("/");
    const family = isIP(address);
    if (prefix !== undefined && family !== 0 && /^\d{1,3}$/.test(prefix)) {
      this.#ranges.addSubnet(address, Number(prefix), family === 6 ? "ipv6" : "ipv4");
    } else this.#names.add(entry.replace(/^https?:\/\//, "").replace(/\/$/, ""));
  }

  /** Whether `host` ("name", "name:port", "[::1]:5000") may be spoken to without verified TLS. */
  isInsecure(host: string): boolean {
    const name = hostnameOf(host);
    if (this.#names.has(host) || this.#names.has(name) || name === "localhost") return true;
    const family = isIP(name);
    return family !== 0 && this.#ranges.check(name, family === 6 ? "ipv6" : "ipv4");
  }

  /** The registry of a reference ("docker.io", "localhost:5000"); it has answered once. */
  async open(registry: string, { credentials = {}, signal }: OpenOptions = {}): Promise<Registry> {
    const host = registry === "docker.io" ? HUB_HOST : registry;
    const tls = await this.#trustOf(host);
    const parts = { tls, credentials, userAgent: this.options.userAgent };
    const make = (base: URL): Registry =>
      new Registry({ ...parts, base, ...(signal ? { signal } : {}) });
    const secure = new URL(`https://${host}/`);
    if (!this.isInsecure(host)) return make(secure);
    const plain = new URL(`http://${host}/`);
    try {
      await ping(secure, tls, signal);
      return make(secure);
    } catch (error) {
      if (kindOf(error) === "cancelled" || signal?.aborted) throw error;
      if (!isPlainAnswer((error as Error).cause)) {
        await ping(plain, tls, signal);
      }
      return make(plain);
    }
  }

  /** Mirrors of Docker Hub, best first; none for other registries. */
  async mirrors(registry: string, { signal }: { signal?: AbortSignal } = {}): Promise<Registry[]> {
    if (registry !== "docker.io") return [];
    return Promise.all(
      this.options.mirrors.map(async (mirror) => {
        const base = new URL(mirror);
        const parts = { tls: await this.#trustOf(base.host), userAgent: this.options.userAgent };
        return new Registry({ ...parts, base, credentials: {}, ...(signal ? { signal } : {}) });
      }),
    );
  }

  async #trustOf(host: string): Promise<TlsTrust> {
    const known = this.#trust.get(host);
    if (known !== undefined) return known;
    const files = await readCertificates(this.options.certificateFolders, host);
    const trust: TlsTrust = { rejectUnauthorized: !this.isInsecure(host), ...files };
    this.#trust.set(host, trust);
    return trust;
  }
}

function hostnameOf(host: string): string {
  if (host.startsWith("[")) return host.slice(1, host.indexOf("]"));
  return host.replace(/:\d+$/, "");
}

/** Any answer will do: a 401 is one. */
async function ping(base: URL, tls: TlsTrust, signal?: AbortSignal): Promise<void> {
  const url = new URL("/v2/", base);
  const { response } = await exchange({ method: "GET", url, tls, ...(signal ? { signal } : {}) });
  response.resume();
}

/** certs.d/<host>: *.crt are trusted besides the usual roots, *.cert with its *.key is ours. */
async function readCertificates(folders: string[], host: string): Promise<Partial<TlsTrust>> {
  const trust: Partial<TlsTrust> & { ca?: string[] } = {};
  for (const folder of folders) {
    const place = join(folder, host);
    for (const name of (await readdir(place).catch(() => [])).sort()) {
      const text = (): Promise<string> => readFile(join(place, name), "utf8");
      if (name.endsWith(".crt")) trust.ca = [...(trust.ca ?? rootCertificates), await text()];
      if (!name.endsWith(".cert")) continue;
      const key = `${name.slice(0, -".cert".length)}.key`;
      trust.cert = await text();
      trust.key = await readFile(join(place, key)).catch((cause) => {
        throw new GantryError(
          "invalid",
          `missing key ${key} for client certificate ${name}. CA certificates must use the ` +
            "extension .crt",
          { cause },
        );
      });
    }
  }
  return trust;
}
