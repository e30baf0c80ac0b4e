// Why the kernel would not execute a command, found out by looking into the container's files:
// asked only after it has failed. What is said must not hold the words by which docker's clients
// choose an exit code ("executable file not found", "permission denied" …).

import { posix } from "node:path";
import type { Advice } from "../../base/index.ts";
import type { RootSource } from "../../storage/index.ts";
import type { EngineContext } from "../context.ts";
import { hostPlatform } from "../images/find.ts";
import { hasBinfmt } from "./binfmt.ts";
import { goodGuess } from "./good-guess.ts";
import { type Program, readProgram } from "./program.ts";
import { readHead } from "./read-head.ts";

export interface FailedCommand {
  argv: readonly string[];
  env: readonly string[];
  cwd: string;
  errno: string;
  uid: number;
}

const PATH_DEFAULT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** A PATH is as long as an image likes, and each folder is looked into. */
const FOLDERS_MAX = 64;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const EXECUTE_BITS = 0o111;
const SHELLS = ["sh", "bash", "ash", "/bin/sh", "/bin/bash"];

interface Look {
  engine: EngineContext;
  source: RootSource;
  command: FailedCommand;
}

export async function diagnoseExec(
  engine: EngineContext,
  source: RootSource,
  command: FailedCommand,
): Promise<Advice | undefined> {
  const look = { engine, source, command };
  const name = command.argv[0] ?? "";
  if (name === "") {
    return { cause: "the command is an empty word", remedy: ["name a command to run"] };
  }
  if (!name.includes("/")) {
    const found = await inPath(look, name);
    return found === undefined ? notInPath(look, name) : aboutFile(look, found);
  }
  return aboutFile(look, posix.resolve(command.cwd || "/", name));
}

const pathOf = ({ env }: FailedCommand): string[] =>
  (env.findLast((pair) => pair.startsWith("PATH="))?.slice("PATH=".length) ?? PATH_DEFAULT)
    .split(":", FOLDERS_MAX)
    .filter((folder) => folder.startsWith("/"));

async function inPath(look: Look, name: string): Promise<string | undefined> {
  for (const folder of pathOf(look.command)) {
    const path = posix.join(folder, name);
    if (await stat(look, path)) return path;
  }
  return undefined;
}

async function notInPath(look: Look, name: string): Promise<Advice> {
  const folders = pathOf(look.command);
  const names = new Set<string>();
  for (const folder of folders) {
    for (const path of await glob(look, `${folder}/*`)) names.add(posix.basename(path));
  }
  const cause = `no folder of PATH (${folders.join(":") || "empty"}) has a file ${quoted(name)}`;
  if (names.size === 0) {
    return { cause: `${cause}; they hold nothing at all`, remedy: [onlyItsProgram] };
  }
  const near = goodGuess(name, names);
  if (near) return { cause, remedy: [`did you mean ${quoted(near)}?`] };
  if (SHELLS.includes(name)) return { cause, remedy: [onlyItsProgram] };
  return {
    cause,
    remedy: ["install it in the image, or name the file by its path", ...optionHint(name)],
  };
}

const onlyItsProgram =
  "the image has no shell: give the path of a program that it has, or look inside with " +
  "`gantry export` or `gantry cp`";
const optionHint = (name: string): string[] =>
  name.startsWith("-") ? ["options of gantry stand before the image's name"] : [];
const quoted = (text: string): string => JSON.stringify(text);

async function aboutFile(look: Look, path: string): Promise<Advice | undefined> {
  const { errno } = look.command;
  const found = await stat(look, path);
  if (!found) return missing(look, path);
  if ((found.mode & S_IFMT) === S_IFDIR) {
    return { cause: `${path} is a folder`, remedy: ["name a program in it"] };
  }
  const program = readProgram(await readHead(look.engine, look.source, found.resolved || path));
  if (errno === "ENOENT") return missingInterpreter(look, path, program);
  if (errno === "ENOEXEC") return wrongFormat(look, path, program);
  if (errno === "EACCES" || errno === "EPERM") {
    return notAllowed(look, path, { mode: found.mode, program });
  }
  return undefined;
}

async function missing(look: Look, path: string): Promise<Advice> {
  const link = await stat(look, path, false);
  if (link?.linkTarget) {
    return {
      cause: `${path} is a link to ${link.linkTarget}, and there is nothing`,
      remedy: [`give the image what ${link.linkTarget} should be, or change the link`],
    };
  }
  const folder = posix.dirname(path);
  const names = (await glob(look, `${folder}/*`)).map((one) => posix.basename(one));
  const near = goodGuess(posix.basename(path), names);
  return {
    cause: `the container has no file ${path}`,
    remedy: near
      ? [`did you mean ${quoted(posix.join(folder, near))}?`]
      : ["see what is there with `gantry run --rm -it --entrypoint sh IMAGE`, if it has a shell"],
  };
}

async function missingInterpreter(
  look: Look,
  path: string,
  program: Program,
): Promise<Advice | undefined> {
  if (program.kind === "script") {
    const { interpreter, carriageReturn } = program;
    if (carriageReturn) {
      return {
        cause: `the first line of ${path} ends as lines of Windows do, so that the kernel looks for ${quoted(`${interpreter}\r`)}`,
        remedy: [`convert it: sed -i 's/\\r$//' ${posix.basename(path)}`],
      };
    }
    const there = await stat(look, interpreter);
    if (there) return undefined;
    return {
      cause: `${path} is there, but its interpreter ${interpreter} (first line, #!) is not`,
      remedy: [`install ${posix.basename(interpreter)} in the image, or change the first line`],
    };
  }
  if (program.kind !== "elf" || !program.loader) return undefined;
  if (await stat(look, program.loader)) return undefined;
  const musl = program.loader.includes("musl");
  return {
    cause: `${path} is there, but the loader that it needs, ${program.loader}, is not`,
    remedy: [
      musl
        ? "it was built for musl (Alpine): run it in an Alpine image, or link it statically"
        : "it was built for glibc: run it in an image that has it (Debian, Ubuntu), or link it " +
          "statically (CGO_ENABLED=0 for Go)",
    ],
  };
}

async function wrongFormat(
  _look: Look,
  path: string,
  program: Program,
): Promise<Advice | undefined> {
  if (program.kind === "empty") {
    return { cause: `${path} is an empty file`, remedy: ["see how it got into the image"] };
  }
  if (program.kind === "text") {
    return {
      cause: `${path} is text whose first line does not name an interpreter`,
      remedy: ["begin it with #!/bin/sh, or run it as: sh FILE"],
    };
  }
  if (program.kind !== "elf") return undefined;
  const host = hostPlatform().architecture;
  const { architecture } = program;
  if (architecture === host) return undefined;
  const handler = await hasBinfmt(architecture);
  return {
    cause:
      `${path} is built for ${architecture}, and this host is ${host}` +
      (handler ? "" : `; no emulator for ${architecture} is registered (binfmt_misc)`),
    remedy: [
      `take an image for this host: gantry pull --platform linux/${host} IMAGE`,
      ...(handler
        ? []
        : [
            "or register an emulator on the host: install qemu-user-static and binfmt-support, " +
              `then /proc/sys/fs/binfmt_misc has qemu-${qemuName(architecture)}`,
          ]),
    ],
  };
}

const qemuName = (architecture: string): string =>
  ({ arm64: "aarch64", amd64: "x86_64", "386": "i386" })[architecture] ?? architecture;

async function notAllowed(
  look: Look,
  path: string,
  { mode, program }: { mode: number; program: Program },
): Promise<Advice> {
  const bits = `0${(mode & 0o7777).toString(8)}`;
  if ((mode & EXECUTE_BITS) === 0) {
    const by = program.kind === "script" ? `, or run it as: ${program.interpreter} ${path}` : "";
    return {
      cause: `${path} has mode ${bits}: nobody may execute it`,
      remedy: [`RUN chmod +x ${path} in the image (COPY --chmod=755)${by}`],
    };
  }
  if (program.kind === "script") {
    const interpreter = await stat(look, program.interpreter);
    if (interpreter && (interpreter.mode & EXECUTE_BITS) === 0) {
      return { cause: `its interpreter ${program.interpreter} is not executable` };
    }
  }
  return {
    cause: `user ${look.command.uid} may not execute ${path} (mode ${bits}), may not search a folder on the way to it, or it is on a mount with noexec`,
    remedy: ["choose another --user, change its mode, or mount with exec (--tmpfs PATH:exec)"],
  };
}

function stat({ engine, source }: Look, path: string, follow = true) {
  return engine.files.stat(source, path, { follow }).catch(() => undefined);
}

function glob({ engine, source }: Look, pattern: string): Promise<string[]> {
  return engine.files.glob(source, pattern).catch(() => []);
}
