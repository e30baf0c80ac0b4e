// Token buckets per address and per user. A bucket is two numbers, refilled when it is looked at;
// the least recently used are forgotten beyond a limit, so that an attacker with many addresses
// costs no memory (he then shares nothing with others: they are forgotten full, not empty).

import { isIPv6, type Socket } from "node:net";
import { RegistryError } from "../errors.ts";
import type { BucketOptions, RateLimitOptions } from "./options.ts";

/** Buckets under keys. Seconds come from a monotonic clock. */
export class Buckets {
  readonly #options: BucketOptions;
  readonly #remembered: number;
  readonly #now: () => number;
  readonly #levels = new Map<string, { level: number; at: number }>();

  constructor(
    options: BucketOptions,
    remembered: number,
    now: () => number = () => performance.now() / 1000,
  ) {
    this.#options = options;
    this.#remembered = remembered;
    this.#now = now;
  }

  get size(): number {
    return this.#levels.size;
  }

  /** Takes `amount`; returns 0, or the seconds until so much is there (then nothing is taken). */
  take(key: string, amount = 1): number {
    const bucket = this.#bucket(key);
    if (bucket.level >= amount) {
      bucket.level -= amount;
      return 0;
    }
    return Math.max((amount - bucket.level) / this.#options.perSecond, 0.001);
  }

  /** Seconds until one is there; takes nothing. */
  wait(key: string): number {
    if (!this.#levels.has(key)) return 0;
    return Math.max(0, (1 - this.#bucket(key).level) / this.#options.perSecond);
  }

  /** Takes `amount` even if it is not there; returns the seconds until the debt is paid. */
  owe(key: string, amount: number): number {
    const bucket = this.#bucket(key);
    bucket.level -= amount;
    return bucket.level >= 0 ? 0 : -bucket.level / this.#options.perSecond;
  }

  #bucket(key: string): { level: number; at: number } {
    const { perSecond, burst } = this.#options;
    const now = this.#now();
    const bucket = this.#levels.get(key) ?? { level: burst, at: now };
    bucket.level = Math.min(burst, bucket.level + (now - bucket.at) * perSecond);
    bucket.at = now;
    this.#levels.delete(key);
    if (this.#levels.size >= this.#remembered) {
      for (const oldest of this.#levels.keys()) {
        this.#levels.delete(oldest);
        break;
      }
    }
    this.#levels.set(key, bucket);
    return bucket;
  }
}

export class RateLimits {
  readonly #addresses: Buckets | undefined;
  readonly #users: Buckets | undefined;
  readonly #failures: Buckets | undefined;
  readonly #bytes: Buckets | undefined;
  readonly #bytesPerSecond: number;

  constructor(options: RateLimitOptions = {}, now?: () => number) {
    const remembered = options.remembered ?? 50_000;
    const buckets = (bucket: BucketOptions | undefined) =>
      bucket && new Buckets(bucket, remembered, now);
    this.#addresses = buckets(options.perAddress);
    this.#users = buckets(options.perUser);
    const failures = options.failedLogins ?? { perSecond: 1 / 3, burst: 20 };
    this.#failures = failures ? buckets(failures) : undefined;
    this.#bytesPerSecond = options.bytesPerSecond ?? 0;
    this.#bytes = this.#bytesPerSecond
      ? buckets({ perSecond: this.#bytesPerSecond, burst: this.#bytesPerSecond })
      : undefined;
  }

  /** For each request, before anything is looked at. */
  address(address: string): void {
    refuse(this.#addresses?.take(addressKey(address)));
  }

  /** For each request of a user who is known. */
  user(name: string): void {
    refuse(this.#users?.take(name));
  }

  /** Before a secret is looked at: whether this address has guessed too often. */
  mayGuess(address: string): void {
    refuse(this.#failures?.wait(addressKey(address)));
  }

  guessedWrong(address: string): void {
    this.#failures?.owe(addressKey(address), 1);
  }

  /** Slows what is sent over this connection to what is left for its peer. */
  pace(socket: Socket): void {
    const bytes = this.#bytes;
    if (!bytes || socket.remoteAddress === undefined) return;
    const key = addressKey(socket.remoteAddress);
    // The socket's own buffer holds back the writer while one write waits.
    const write = socket._write.bind(socket);
    socket._writev = undefined as never;
    socket._write = (chunk: Buffer | string, encoding, done) => {
      const wait = bytes.owe(key, Buffer.byteLength(chunk));
      if (wait === 0) return write(chunk, encoding, done);
      const timer = setTimeout(() => {
        socket.off("close", dropped);
        write(chunk, encoding, done);
      }, wait * 1000);
      const dropped = () => {
        clearTimeout(timer);
        done(new Error("The connection was closed"));
      };
      socket.once("close", dropped);
    };
  }
}

function refuse(seconds: number | undefined): void {
  if (!seconds) return;
  throw new RegistryError("TOOMANYREQUESTS", "too many requests", {
    headers: { "Retry-After": String(Math.max(1, Math.ceil(seconds))) },
  });
}

/** One key for what one customer has: an address, or an IPv6 network of 64 bits. */
export function addressKey(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = "", tail] = address.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail ? tail.split(":") : [];
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array.from({ length: Math.max(0, zeros) }, () => "0"), ...right];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}
