// All cases, each by its name once, those that others build on first.

import type { Case } from "./case.ts";
import { add } from "./cases/add.ts";
import { args } from "./cases/args.ts";
import { config } from "./cases/config.ts";
import { copy } from "./cases/copy.ts";
import { expansion } from "./cases/expansion.ts";
import { format } from "./cases/format.ts";
import { heredoc } from "./cases/heredoc.ts";
import { ignore } from "./cases/ignore.ts";
import { lint } from "./cases/lint.ts";
import { run } from "./cases/run.ts";
import { stages } from "./cases/stages.ts";

export const corpus: readonly Case[] = [
  ...[format, expansion, args, config, copy, add, heredoc, ignore, stages, run, lint].flat(),
];
