// COPY and ADD: sources sorted into paths and remote ones, the destination resolved, flags read.

import { addSource } from "./add-source.ts";
import { TextFault } from "./dockerfile-error.ts";
import { parseFileMode } from "./file-mode.ts";
import { resolveDestination, sourcePath } from "./paths.ts";
import type { AddStep, AddStepSource, CopyOptions, CopyPath, CopyStep } from "./steps.ts";
import type { Add, Copy } from "./syntax-tree.ts";

type CopyResult = CopyOptions & Pick<CopyStep, "paths" | "parents">;
type AddResult = CopyOptions & Pick<AddStep, "sources" | "checksum" | "keepGitDir" | "unpack">;

/** Resolves an expanded COPY. Throws a TextFault. */
export function resolveCopy(copy: Copy, workingDir: string): CopyResult {
  for (const source of copy.sources) {
    const { kind } = addSource(source);
    if (kind === "local") continue;
    const what = kind === "git" ? "a git ref" : "a URL";
    throw new TextFault(`source can't be ${what} for COPY`, 0, 0, "use ADD for remote sources");
  }
  const paths = copy.sources.map((source) =>
    copy.parents ? withParents(source) : plainPath(source),
  );
  return { ...optionsOf(copy, workingDir), paths, parents: copy.parents };
}

/** Resolves an expanded ADD. Throws a TextFault. */
export function resolveAdd(add: Add, workingDir: string): AddResult {
  const sources = add.sources.map((text): AddStepSource => {
    const source = addSource(text);
    return source.kind === "local" ? { kind: "path", ...plainPath(source.path) } : source;
  });
  const { checksum, unpack } = add;
  if (checksum) checkChecksum(checksum, sources, add.inline.length);
  return {
    ...optionsOf(add, workingDir),
    sources,
    ...(checksum ? { checksum } : {}),
    keepGitDir: add.keepGitDir,
    ...(unpack === undefined ? {} : { unpack }),
  };
}

function checkChecksum(
  checksum: string,
  sources: readonly AddStepSource[],
  inlineCount: number,
): void {
  const [source] = sources;
  if (sources.length !== 1 || inlineCount > 0) {
    throw new TextFault("checksum can't be specified for multiple sources");
  }
  if (source === undefined || source.kind === "path") {
    throw new TextFault("checksum requires HTTP(S) or Git sources");
  }
  if (source.kind === "git") {
    if (/^[0-9a-f]{4,64}$/i.test(checksum)) return;
    throw new TextFault(`invalid checksum ${JSON.stringify(checksum)}: not a git commit`);
  }
  if (!/^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/.test(checksum)) {
    const remedy = "write --checksum=sha256: and 64 hexadecimal digits";
    throw new TextFault("invalid checksum digest format", 0, 0, remedy);
  }
}

function optionsOf(parts: Add | Copy, workingDir: string): CopyOptions {
  const destination = resolveDestination(workingDir || "/", parts.destination);
  return {
    inline: parts.inline.map(({ name, content }) => ({ name, content })),
    destination,
    ...(parts.chown ? { chown: parts.chown } : {}),
    ...(parts.chmod ? { chmod: parseFileMode(parts.chmod) } : {}),
    link: parts.link,
    exclude: parts.exclude,
  };
}

function plainPath(written: string): CopyPath {
  return { written, path: sourcePath(written) };
}

/** `a/./b/*.c`: the part after the pivot keeps its folders. */
function withParents(written: string): CopyPath {
  const pivot = written.indexOf("/./");
  const root = pivot < 0 ? "/" : sourcePath(written.slice(0, pivot));
  const rest = sourcePath(pivot < 0 ? written : written.slice(pivot + "/./".length));
  return { written, path: root, pattern: rest.slice(1) };
}

/** "COPY --chown=u:g a b /c # buildkit". */
export function copyHistory(instruction: Add | Copy): string {
  const words: string[] = [instruction.kind];
  if (instruction.kind === "COPY" && instruction.parents) words.push("--parents");
  if (instruction.chown) words.push(`--chown=${instruction.chown}`);
  if (instruction.chmod) words.push(`--chmod=${instruction.chmod}`);
  words.push(...instruction.sources, ...instruction.inline.map(({ name }) => `<<${name}`));
  words.push(instruction.destination, "# buildkit");
  return words.join(" ");
}
