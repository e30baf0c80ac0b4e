// Every error about a Dockerfile says where: file, line and column, the source lines and, where
// there is one, the remedy. The message alone is worded as BuildKit's, because people search it.

import { GantryError } from "../../base/index.ts";
import { excerptOf, type Position, type SourceRange, type SourceText } from "./source.ts";

export interface ErrorPlace {
  source: SourceText;
  range: SourceRange;
  /** What the user can do; one sentence without final period. */
  remedy?: string;
  cause?: unknown;
}

/** An error at a place of the Dockerfile; `detail` has file, line, column, excerpt, the file's
 * bytes and the remedy. */
export function errorAt(place: ErrorPlace, message: string): GantryError {
  const { source, range, remedy, cause } = place;
  return new GantryError("invalid", message, {
    ...(cause === undefined ? {} : { cause }),
    detail: {
      file: source.name,
      line: range.start.line,
      column: range.start.column,
      endLine: range.end.line,
      excerpt: excerptOf(source, range),
      // Clients of BuildKit's show the lines themselves.
      source: source.bytes,
      ...(remedy === undefined ? {} : { remedy }),
    },
  });
}

export interface DockerfileErrorDetail extends Position {
  file: string;
  endLine: number;
  excerpt: string;
  remedy?: string;
}

/** Where an error of this library points; undefined for other errors. */
export function placeOf(error: unknown): DockerfileErrorDetail | undefined {
  if (!(error instanceof GantryError) || typeof error.detail["excerpt"] !== "string") {
    return undefined;
  }
  return error.detail as unknown as DockerfileErrorDetail;
}

/** A fault at an offset of some text; the caller knows which text, and gives it a place. */
export class TextFault extends Error {
  readonly offset: number;
  readonly length: number;
  readonly remedy: string | undefined;

  constructor(message: string, offset = 0, length = 0, remedy?: string) {
    super(message);
    this.offset = offset;
    this.length = length;
    this.remedy = remedy;
  }
}

/** A line whose arguments cannot be told apart: BuildKit names no line in the message. */
export class LineFault extends TextFault {}
