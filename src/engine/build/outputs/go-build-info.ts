// Finds what Go writes into its executables (debug/buildinfo, "\xff Go buildinf:") in a stream,
// without keeping the executable: the versions since 1.18 have the strings right behind the mark.

const MARK = Buffer.from("\xff Go buildinf:", "latin1");
const HEADER_BYTES = 32;
const INLINE_STRINGS = 2;
const FLAGS_AT = 15;
/** The list of modules has 16 bytes in front and behind. */
const SENTINEL_BYTES = 16;
const GO_INFO_BYTES_MAX = 4 * 1024 * 1024;

export class GoBuildInfo {
  /** The end of what came before the mark, or everything since it. */
  #bytes: Buffer = Buffer.alloc(0);
  #isFound = false;
  #isOver = false;

  push(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (!this.#isFound) {
      const at = this.#bytes.indexOf(MARK);
      if (at < 0) {
        this.#bytes = this.#bytes.subarray(-MARK.length);
        return;
      }
      this.#isFound = true;
      this.#bytes = this.#bytes.subarray(at);
    }
    if (this.#bytes.length < HEADER_BYTES) return;
    const isWhole = this.#modules() !== undefined;
    this.#isOver = isWhole || this.#bytes.length > GO_INFO_BYTES_MAX || !this.#isInline();
  }

  #isInline(): boolean {
    return (this.#bytes[FLAGS_AT]! & INLINE_STRINGS) !== 0;
  }

  /** The list, when the file had one. */
  modules(): string | undefined {
    return this.#isFound && this.#bytes.length >= HEADER_BYTES && this.#isInline()
      ? this.#modules()
      : undefined;
  }

  #modules(): string | undefined {
    const version = this.#string(HEADER_BYTES);
    const found = version && this.#string(version.end);
    if (!found) return undefined;
    const { text } = found;
    const bare =
      text.length >= 2 * SENTINEL_BYTES ? text.subarray(SENTINEL_BYTES, -SENTINEL_BYTES) : text;
    return bare.toString("utf8");
  }

  /** A length as a varint, then that many bytes. */
  #string(from: number): { text: Buffer; end: number } | undefined {
    let length = 0;
    let at = from;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes[at++];
      if (byte === undefined) return undefined;
      length += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    if (length > GO_INFO_BYTES_MAX || at + length > this.#bytes.length) return undefined;
    return { text: this.#bytes.subarray(at, at + length), end: at + length };
  }
}
