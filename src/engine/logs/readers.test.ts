import assert from "node:assert/strict";
import { test } from "node:test";
import { PAUSE_MS_MAX, QUIET_MS, Readers } from "./readers.ts";

const { signal } = new AbortController();

/** Time passes when somebody sleeps; a reader may read at each of these moments. */
function readersAt(reads: (ms: number) => boolean) {
  let ms = 0;
  const readers = new Readers({
    now: () => ms,
    async sleep(wait) {
      ms += wait;
      if (reads(ms)) readers.beat();
    },
  });
  return { readers, ms: () => ms };
}

test("nobody who reads, no pause", async () => {
  const { readers, ms } = readersAt(() => false);
  await readers.pauses()(signal);
  assert.equal(ms(), 0);
});

test("a pause lasts until it has been quiet for a moment", async () => {
  const { readers, ms } = readersAt((at) => at <= 2_000 - QUIET_MS);
  readers.beat();
  await readers.pauses()(signal);
  assert.equal(ms(), 2_000);
});

test("a log that is always read is compressed all the same", async () => {
  const { readers, ms } = readersAt(() => true);
  readers.beat();
  const pause = readers.pauses();
  for (let block = 0; block < 3; block++) await pause(signal);
  assert.equal(ms(), PAUSE_MS_MAX);
});

test("what ends does not wait for a reader", async () => {
  const { readers, ms } = readersAt(() => true);
  readers.beat();
  await readers.pauses()(AbortSignal.abort());
  assert.equal(ms(), 0);
});
