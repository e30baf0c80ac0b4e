// The key sequence that detaches a client from a container: docker's syntax ("ctrl-p,ctrl-q",
// "a,b", "ctrl-@") and the filter that looks for it in what the client types.

import { GantryError } from "../../base/index.ts";

export const DETACH_KEYS_DEFAULT = "ctrl-p,ctrl-q";

/** Returns the bytes of the sequence; throws invalid with docker's wording. */
export function parseDetachKeys(text: string): Uint8Array {
  return Uint8Array.from(text.split(","), (key) => {
    if (/^[\x20-\x7e]$/.test(key)) return key.charCodeAt(0);
    const control = /^ctrl-(.)$/.exec(key)?.[1];
    const at = control === undefined ? -1 : "@abcdefghijklmnopqrstuvwxyz[\\]^_".indexOf(control);
    if (at < 0) throw new GantryError("invalid", `Invalid detach keys (${text}) provided`);
    return at;
  });
}

/** Finds the sequence in a stream of input. Bytes that may begin it are held back until they turn
 * out not to. */
export class DetachFilter {
  #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** Returns what to pass on, and whether the sequence is complete. */
  push(chunk: Uint8Array): { pass: Uint8Array; detach: boolean } {
    if (this.#keys.length === 0) return { pass: chunk, detach: false };
    // The common case: nothing held back and nothing that could begin the sequence.
    if (this.#matched === 0 && !chunk.includes(this.#keys[0]!)) {
      return { pass: chunk, detach: false };
    }
    const pass: number[] = [];
    for (const byte of chunk) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === this.#keys.length) {
          return { pass: Uint8Array.from(pass), detach: true };
        }
        continue;
      }
      pass.push(...this.#keys.subarray(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) pass.push(byte);
    }
    return { pass: Uint8Array.from(pass), detach: false };
  }
}
