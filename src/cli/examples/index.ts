// Examples of every command, in one place per group: a test parses each, and help shows them.

import { containerExamples } from "./containers.ts";
import { imageExamples } from "./images.ts";
import { otherExamples } from "./others.ts";

/** Command lines by the command's path within its group ("container ls"). */
export type Examples = Readonly<Record<string, readonly string[]>>;

export const EXAMPLES: Examples = { ...containerExamples, ...imageExamples, ...otherExamples };
