// The few tar headers that saved images need: plain files and folders with short names. The trees
// of containers are written by the native program.

const BLOCK = 512;

/** A ustar header. `name` has at most 100 bytes; `size` below 8 GiB is octal, else base-256. */
export function tarHeader(
  name: string,
  { size = 0, mode = 0o644, type = "0", mtime = 0 } = {},
): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, 100);
  header.write(octal(mode, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  if (size < 8 ** 11) {
    header.write(octal(size, 11), 124);
  } else {
    header[124] = 0x80;
    header.writeBigUInt64BE(BigInt(size), 128);
  }
  header.write(octal(mtime, 11), 136);
  header.write("        ", 148);
  header.write(type, 156);
  header.write("ustar\x0000", 257, "latin1");
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${octal(sum, 6)}\0 `, 148, "latin1");
  return header;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}

/** The zeros after `size` bytes of content. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

export const tarEnd: Buffer = Buffer.alloc(2 * BLOCK);
