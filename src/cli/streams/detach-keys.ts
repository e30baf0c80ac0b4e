// The keys that leave a container running: "ctrl-p,ctrl-q" or what the user has chosen. The
// sequence is looked for in what is typed, and is not passed on.

import { GantryError } from "../../base/index.ts";

export const DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q";

/** The bytes of a sequence: single characters, and ctrl- with a letter or one of @[\]^_. */
export function parseDetachKeys(text: string): number[] {
  return text.split(",").map((key) => {
    if (key.length === 1) return key.charCodeAt(0);
    const match = /^ctrl-(.)$/i.exec(key);
    const letter = match?.[1]?.toLowerCase();
    if (letter === undefined || !/[a-z@[\\\]^_]/.test(letter)) {
      throw new GantryError(
        "invalid",
        `invalid detach keys (${text}): Unknown character: '${key}'`,
      );
    }
    return letter >= "a" && letter <= "z" ? letter.charCodeAt(0) - 96 : letter.charCodeAt(0) - 64;
  });
}

/** Watches input for the sequence; holds back a beginning until it is clear what it is. */
export class DetachWatcher {
  #keys: readonly number[];
  #matched = 0;
  constructor(keys: readonly number[]) {
    this.#keys = keys;
  }

  /** Returns what to pass on, and whether the sequence was completed. */
  push(chunk: Uint8Array): { data: Buffer; detached: boolean } {
    const out: number[] = [];
    for (const byte of chunk) {
      if (byte === this.#keys[this.#matched]) {
        if (++this.#matched === this.#keys.length)
          return { data: Buffer.from(out), detached: true };
        continue;
      }
      out.push(...this.#keys.slice(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) out.push(byte);
      if (this.#matched === this.#keys.length) return { data: Buffer.from(out), detached: true };
    }
    return { data: Buffer.from(out), detached: false };
  }
}
