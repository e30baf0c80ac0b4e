// ADD and COPY: sources, here-documents among them, the destination and the flags.

import { LineFault, TextFault } from "./dockerfile-error.ts";
import { heredocOpening, heredocText } from "./heredoc.ts";
import type { Given } from "./parse-instruction.ts";
import { hasVariables } from "./run-mount.ts";
import type { Add, Copy, CopyParts, InlineFile } from "./syntax-tree.ts";
import { blankWords, jsonWords } from "./words.ts";

export function parseCopying<K extends "ADD" | "COPY">(
  kind: K,
  given: Given,
): K extends "ADD" ? Add : Copy;
export function parseCopying(kind: "ADD" | "COPY", given: Given): Add | Copy {
  const { flags, base } = given;
  const parts = copyParts(kind, given);
  if (kind === "COPY") {
    const from = flags.string("from");
    if (from !== undefined && hasVariables(from)) {
      const { offset, text } = flags.word("from")!;
      const message =
        "variable expansion is not supported for --from, define a new stage with FROM using ARG " +
        "from global scope as a workaround";
      const remedy = "name the image in a stage: FROM $image AS name, then COPY --from=name";
      throw new LineFault(message, offset, text.length, remedy);
    }
    const parents = flags.bool("parents") ?? false;
    return { ...base, kind, ...parts, ...(from ? { from } : {}), parents };
  }
  const checksum = flags.string("checksum");
  const unpack = flags.bool("unpack");
  return {
    ...base,
    kind,
    ...parts,
    ...(checksum ? { checksum } : {}),
    keepGitDir: flags.bool("keep-git-dir") ?? false,
    ...(unpack === undefined ? {} : { unpack }),
  };
}

function copyParts(kind: "ADD" | "COPY", given: Given): CopyParts {
  const { flags, rest, raw } = given;
  const words = jsonWords(rest) ?? blankWords(rest).map(({ text }) => text);
  if (words.length < 2) {
    const message =
      `${kind} requires at least two arguments, but only one was provided. ` +
      "Destination could not be determined";
    const remedy = `write ${kind} SOURCE… DESTINATION`;
    throw new TextFault(message, rest.offset, rest.text.length, remedy);
  }
  const destination = words.pop()!;
  const hasBodies = raw.heredocs.length > 0;
  if (hasBodies && heredocOpening(destination) !== undefined) {
    throw new TextFault(`${kind} cannot accept a heredoc as a destination`);
  }
  const sources: string[] = [];
  const inline: InlineFile[] = [];
  for (const word of words) {
    const opening = hasBodies ? heredocOpening(word) : undefined;
    const heredoc = opening && raw.heredocs.findLast(({ name }) => name === opening.name);
    if (heredoc === undefined) sources.push(word);
    else inline.push({ name: heredoc.name, content: heredocText(heredoc), expand: heredoc.expand });
  }
  const chown = flags.string("chown");
  const chmod = flags.string("chmod");
  return {
    sources,
    inline,
    destination,
    ...(chown ? { chown } : {}),
    ...(chmod ? { chmod } : {}),
    link: flags.bool("link") ?? false,
    exclude: flags.strings("exclude"),
  };
}
