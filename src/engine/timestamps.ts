// Times as Docker shows them: RFC 3339 with nanoseconds, UTC. Records keep the text, so that what
// was shown once is shown for ever; arithmetic is done on nanoseconds since the epoch.

/** What Docker shows for a moment that has not come yet. */
export const NEVER = "0001-01-01T00:00:00Z";

/** The current time as RFC 3339 with nanoseconds. */
export function timestamp(): string {
  return Temporal.Now.instant().toString({ fractionalSecondDigits: 9 });
}

/** A Date as RFC 3339 with nanoseconds. */
export function timestampOf(date: Date): string {
  return `${date.toISOString().slice(0, -1)}000000Z`;
}

export function nowNanoseconds(): bigint {
  return Temporal.Now.instant().epochNanoseconds;
}

/** Milliseconds since the epoch of a stored timestamp; 0 for NEVER. */
export function millisecondsOf(text: string): number {
  return text === NEVER || text === "" ? 0 : Date.parse(text.replace(/(\.\d{3})\d+/, "$1"));
}
