// Takes a monitor's output apart: frames of a stream's number, three zeros, a length and the bytes.

const HEADER_BYTES = 8;

export interface OutputFrame {
  name: "stdout" | "stderr";
  data: Buffer;
}

/** The frames as they come; a long one in parts. A frame that was cut off ends the stream. */
export async function* readFrames(chunks: AsyncIterable<unknown>): AsyncGenerator<OutputFrame> {
  let rest: Buffer = Buffer.alloc(0);
  let left = 0;
  let name: OutputFrame["name"] = "stdout";
  for await (const chunk of chunks) {
    let bytes = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    for (;;) {
      if (left > 0) {
        const data = bytes.subarray(0, left);
        if (data.length === 0) break;
        bytes = bytes.subarray(data.length);
        left -= data.length;
        yield { name, data };
        continue;
      }
      if (bytes.length < HEADER_BYTES) break;
      name = bytes[0] === 2 ? "stderr" : "stdout";
      left = bytes.readUInt32BE(4);
      bytes = bytes.subarray(HEADER_BYTES);
    }
    rest = bytes;
  }
}
