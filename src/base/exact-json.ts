// JSON whose 64-bit numbers keep their value: masks of system call arguments and resource limits
// are larger than a double can hold. Only fields that are known to be that large become bigints,
// where a plain number would not be exact; all other numbers stay what JSON.parse makes of them.

const LARGE_FIELDS = new Set(["value", "valueTwo", "soft", "hard"]);

type Revive = (key: string, value: unknown, context: { source?: string }) => unknown;
const raw = JSON as unknown as { rawJSON(text: string): unknown };

const revive: Revive = (key, value, { source }) =>
  LARGE_FIELDS.has(key) &&
  typeof value === "number" &&
  !Number.isSafeInteger(value) &&
  /^-?\d+$/.test(source ?? "")
    ? BigInt(source!)
    : value;

/** Throws SyntaxError as JSON.parse does. */
export function parseExactJson(text: string): unknown {
  // A text without such numbers, which is nearly every one, is not gone through twice.
  return /\d{16}/.test(text) ? JSON.parse(text, revive as () => unknown) : JSON.parse(text);
}

/** Bigints are written as the numbers that they are. */
export function stringifyExactJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "bigint" ? raw.rawJSON(String(part)) : part,
  );
}
