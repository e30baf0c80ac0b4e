// Buffers of streams lie outside V8's heap: V8 hardly sees them, and lets tens of megabytes of dead
// ones pile up before it looks. Whoever moves bytes says how many went by, and every few megabytes
// the young generation is collected, which takes well under a millisecond, so that memory stays
// flat whatever goes by. Needs --expose-gc (the daemon has it); does nothing without.

const GARBAGE_BYTES_MAX = 8 << 20;

type Collector = (options: { type: "minor" }) => void;

let bytes = 0;

/** Says that buffers of this size have been used and let go. */
export function noteGarbage(length: number): void {
  bytes += length;
  if (bytes < GARBAGE_BYTES_MAX) return;
  bytes = 0;
  (globalThis as { gc?: Collector }).gc?.({ type: "minor" });
}
