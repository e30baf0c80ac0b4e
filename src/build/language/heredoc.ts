// Here-documents: which words of a line open one, and what they are called. A word opens one when
// it is [fd]<<[-]NAME; a quoted part in NAME means that the body is not expanded.

import { TextFault } from "./dockerfile-error.ts";
import { expandText } from "./shell-lexer.ts";
import type { SourceRange } from "./source.ts";

export interface Heredoc {
  name: string;
  /** False when any part of the name was quoted. */
  expand: boolean;
  /** `<<-`: leading tabs are not part of the body. */
  stripTabs: boolean;
  /** The file descriptor before `<<`; 0 when there is none. */
  fd: number;
  /** As it stands in the file, the terminator left out; with `<<-`, tabs still there. */
  content: string;
  /** Of the body and its terminator. */
  range: SourceRange;
}
export type HeredocOpening = Pick<Heredoc, "name" | "expand" | "stripTabs" | "fd">;

const NOTHING = { get: () => undefined };
const OPENING = /^(\d*)<<(-?)([^<]+)$/s;

/** The here-document that this word opens, if it does. */
export function heredocOpening(word: string): HeredocOpening | undefined {
  const match = OPENING.exec(word);
  if (match === null) return undefined;
  const [, fd, dash, rest] = match as unknown as [string, string, string, string];
  const plain = expandText(rest, NOTHING, { keepUnset: true });
  const name = plain.words[0];
  if (plain.words.length !== 1 || name === undefined) return undefined;
  const raw = expandText(rest, NOTHING, { keepUnset: true, rawQuotes: true, rawEscapes: true });
  return {
    name,
    expand: raw.words[0] === name,
    stripTabs: dash === "-",
    fd: Number(fd.slice(0, 9) || "0"),
  };
}

/** All that a line opens, in order. A line that cannot be cut into words opens none. */
export function heredocsOf(line: string): HeredocOpening[] {
  if (!line.includes("<<")) return [];
  let words: string[];
  try {
    const options = { keepUnset: true, rawQuotes: true, rawEscapes: true };
    words = expandText(line, NOTHING, options).words;
  } catch (error) {
    if (error instanceof TextFault) return [];
    throw error;
  }
  return words.flatMap((word) => heredocOpening(word) ?? []);
}

/** The body as it is used: without leading tabs for `<<-`. */
export function heredocText(heredoc: Pick<Heredoc, "content" | "stripTabs">): string {
  return heredoc.stripTabs ? heredoc.content.replace(/^\t+/gm, "") : heredoc.content;
}
