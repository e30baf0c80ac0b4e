// What is said of a source of COPY or ADD that is not there: docker's words, which people search
// for, and what was probably meant.

import { GantryError } from "../../base/index.ts";
import { didYouMean } from "../../build/index.ts";

const SUGGESTIONS_MAX = 10_000;

export interface Missing {
  /** The last part of what was asked for. */
  name: string;
  /** .dockerignore leaves it out. */
  ignored?: boolean;
  /** The names beside it. */
  siblings: readonly string[];
  /** A file of that name in another folder. */
  elsewhere?: () => string | undefined;
  cause?: unknown;
}

export function notFound(written: string, missing: Missing): GantryError {
  const { name, ignored, siblings, elsewhere, cause } = missing;
  return new GantryError(
    "invalid",
    "COPY failed: file not found in build context or excluded by .dockerignore: " +
      `stat ${written.replace(/^\/+/, "")}: file does not exist${hint()}`,
    cause === undefined ? {} : { cause },
  );

  function hint(): string {
    if (ignored) return " (it is excluded by .dockerignore)";
    const near = didYouMean(name, siblings.slice(0, SUGGESTIONS_MAX));
    if (near !== "") return near;
    const other = elsewhere?.();
    return other === undefined ? "" : ` (did you mean ${other}?)`;
  }
}
