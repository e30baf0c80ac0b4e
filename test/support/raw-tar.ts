// Tar archives made byte by byte, so that tests can make the hostile and the odd ones that no tar
// program would write.

export interface RawEntry {
  name: string;
  type?: string; // typeflag, default "0"
  content?: string | Uint8Array;
  link?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  major?: number;
  minor?: number;
  size?: number; // what the header says, when it is not the truth
  pax?: Record<string, string | Uint8Array>;
  badChecksum?: boolean;
  magic?: string;
}

/** One entry: an optional pax header, the header, the content and its padding. */
export function rawEntry(entry: RawEntry): Buffer {
  const content = Buffer.from(entry.content ?? "");
  const parts: Buffer[] = [];
  if (entry.pax) parts.push(rawEntry({ name: "pax", type: "x", content: paxText(entry.pax) }));
  const header = Buffer.alloc(512);
  const octal = (value: number, at: number, digits: number) =>
    header.write(value.toString(8).padStart(digits, "0"), at, digits, "latin1");
  header.write(entry.name, 0, 100);
  octal(entry.mode ?? 0o644, 100, 7);
  octal(entry.uid ?? 0, 108, 7);
  octal(entry.gid ?? 0, 116, 7);
  octal(entry.size ?? content.length, 124, 11);
  octal(entry.mtime ?? 1_000_000_000, 136, 11);
  header.write(entry.type ?? "0", 156, 1, "latin1");
  header.write(entry.link ?? "", 157, 100);
  header.write(entry.magic ?? "ustar\x0000", 257, 8, "latin1");
  octal(entry.major ?? 0, 329, 7);
  octal(entry.minor ?? 0, 337, 7);
  seal(header);
  if (entry.badChecksum) header[0]! ^= 1;
  return Buffer.concat([...parts, header, content, Buffer.alloc(-content.length & 511)]);
}

/** Writes the checksum of a header. */
export function seal(header: Buffer): void {
  header.fill(" ", 148, 156);
  const sum = header.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8, "latin1");
}

/** A whole archive with its two blocks of zeros. */
export function rawTar(...entries: RawEntry[]): Buffer {
  return Buffer.concat([...entries.map(rawEntry), Buffer.alloc(1024)]);
}

export function paxText(records: Record<string, string | Uint8Array>): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
    let length = rest.length + 1;
    while (String(length).length + rest.length !== length) length++;
    return Buffer.concat([Buffer.from(String(length)), rest]);
  });
  return Buffer.concat(lines);
}
