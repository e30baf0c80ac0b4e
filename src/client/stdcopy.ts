// Docker's multiplexed stream: frames of an 8-byte header {stream, 0, 0, 0, u32 big-endian length}
// and the payload; stream 1 is stdout, 2 stderr, 3 an error of the daemon.

export interface StdFrame {
  stream: 0 | 1 | 2 | 3;
  data: Buffer;
}

/** Splits a byte stream into parts of frames as they arrive; payloads are not collected first. */
export class StdDemultiplexer {
  #header = Buffer.alloc(8);
  #have = 0;
  #stream: StdFrame["stream"] = 1;
  #left = 0;

  /** Returns the payload parts in one chunk. */
  push(chunk: Buffer): StdFrame[] {
    const frames: StdFrame[] = [];
    for (let at = 0; at < chunk.length; ) {
      if (this.#left === 0) {
        const take = Math.min(8 - this.#have, chunk.length - at);
        chunk.copy(this.#header, this.#have, at, at + take);
        this.#have += take;
        at += take;
        if (this.#have < 8) break;
        this.#have = 0;
        this.#stream = (this.#header[0]! & 3) as StdFrame["stream"];
        this.#left = this.#header.readUInt32BE(4);
        continue;
      }
      const data = chunk.subarray(at, at + this.#left);
      at += data.length;
      this.#left -= data.length;
      frames.push({ stream: this.#stream, data });
    }
    return frames;
  }
}
