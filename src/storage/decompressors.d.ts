// What is used of unbzip2-stream's inner parts, which come without types.

declare module "unbzip2-stream/lib/bzip2.js" {
  interface BitReader {
    (bits: number): number;
    bytesRead: number;
  }
  const bzip2: {
    /** The size of blocks, in 100 kB. Throws on anything but a header. */
    header(bits: BitReader): number;
    /** Reads one block; the stream's checksum so far, null at its end. */
    decompress(
      bits: BitReader,
      put: (byte: number) => void,
      buffer: Int32Array,
      size: number,
      checksum: number,
    ): number | null;
  };
  export default bzip2;
}
declare module "unbzip2-stream/lib/bit_iterator.js" {
  export default function bitIterator(
    next: () => Uint8Array | undefined,
  ): import("unbzip2-stream/lib/bzip2.js").BitReader;
}
