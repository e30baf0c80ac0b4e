// Colours, for terminals only: NO_COLOR and TERM=dumb switch them off, and what is not a terminal
// never sees any.

import type { Output } from "../io.ts";

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, cyan: 36 } as const;
export type Style = keyof typeof CODES;

export type Paint = (style: Style | undefined, text: string) => string;

/** What colours text for an output, or leaves it alone. */
export function paintFor(out: Output): Paint {
  if (!out.color) return (_, text) => text;
  return (style, text) =>
    style === undefined || text === "" ? text : `\x1b[${CODES[style]}m${text}\x1b[0m`;
}

/** Names and commands come from strangers: nothing in them moves the cursor. */
export function printable(text: string): string {
  return text.replace(CONTROLS, "\ufffd");
}
const CONTROLS = /\p{Cc}/gu;
