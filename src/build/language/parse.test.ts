// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Dockerfiles are full of them
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GantryError } from "../../base/index.ts";
import { placeOf } from "./dockerfile-error.ts";
import { parseDockerfile, parseTrigger } from "./parse.ts";
import type { InstructionKind, StageInstruction } from "./syntax-tree.ts";

function instructions(text: string): StageInstruction[] {
  return parseDockerfile(`FROM scratch\n${text}`).stages[0]!.instructions;
}

function one<K extends InstructionKind>(kind: K, text: string) {
  const [first, ...more] = instructions(text);
  assert.equal(more.length, 0);
  assert.equal(first?.kind, kind);
  return first as Extract<StageInstruction, { kind: K }>;
}

function fault(text: string): { message: string; line: number; column: number; remedy?: string } {
  try {
    parseDockerfile(text);
  } catch (error) {
    assert(error instanceof GantryError);
    const place = placeOf(error);
    assert(place !== undefined, `no place: ${error.message}`);
    return { ...place, message: error.message };
  }
  return assert.fail(`no fault in ${JSON.stringify(text)}`);
}

test("directives stand at the top, in any case, and only once", () => {
  const { directives, escape: token } = parseDockerfile(
    "# Syntax = docker/dockerfile:1\n#escape=`\n# check=skip=all\nFROM a\n",
  );
  assert.deepEqual(
    directives.map(({ name, value, line }) => [name, value, line]),
    [
      ["syntax", "docker/dockerfile:1", 1],
      ["escape", "`", 2],
      ["check", "skip=all", 3],
    ],
  );
  assert.equal(token, "`");
  // As in BuildKit a shebang ends them.
  assert.equal(parseDockerfile("#!/bin/x\n# escape=`\nFROM a").escape, "\\");
  assert.equal(parseDockerfile("# a comment\n# escape=`\nFROM a").escape, "\\");
  assert.equal(parseDockerfile("# other=1\n# escape=`\nFROM a").escape, "\\");
  assert.equal(parseDockerfile("\n# escape=`\nFROM a").escape, "\\");
  assert.match(
    fault("# escape=`\n# escape=\\\nFROM a").message,
    /only one escape parser directive/,
  );
  assert.match(fault("# escape=x\nFROM a").message, /invalid escape token 'x'/);
});

test("a byte order mark, CRLF, tabs and a missing last newline change nothing", () => {
  const text = "\ufeffFROM\talpine  AS  a\r\n\r\n\tRUN  x \\\r\n  y\r\nCMD z";
  const { stages } = parseDockerfile(Buffer.from(text));
  assert.equal(stages[0]?.from.base, "alpine");
  assert.equal(stages[0]?.from.name, "a");
  const [run, cmd] = stages[0]!.instructions;
  assert.deepEqual(run?.kind === "RUN" && run.command, { form: "shell", text: "x   y" });
  assert.deepEqual(cmd?.kind === "CMD" && cmd.command, { form: "shell", text: "z" });
});

test("continuations join lines; comments and empty lines among them vanish", () => {
  const run = one("RUN", "RUN a \\\n# comment\n   # another\n\n  && b \\  \n && c\n");
  assert.deepEqual(run.command, { form: "shell", text: "a   && b  && c" });
  assert.deepEqual(run.emptyContinuations, [5]);
  assert.deepEqual(run.range, { start: { line: 2, column: 1 }, end: { line: 7, column: 6 } });
  const kept = one("RUN", "RUN echo a \\\\\n");
  assert.deepEqual(kept.command, { form: "shell", text: "echo a \\\\" });
  assert.deepEqual(one("RUN", "RUN a # b").command, { form: "shell", text: "a # b" });
});

test("the exec form is JSON; what is not JSON is for the shell", () => {
  assert.deepEqual(one("CMD", 'CMD [ "a", "b\\n" ]').command, {
    form: "exec",
    words: ["a", "b\n"],
  });
  assert.deepEqual(one("CMD", "CMD ['a']").command, { form: "shell", text: "['a']" });
  assert.deepEqual(one("RUN", 'RUN ["a" ] && b').command, { form: "shell", text: '["a" ] && b' });
  assert.deepEqual(one("ENTRYPOINT", "ENTRYPOINT []").command, { form: "exec", words: [] });
  assert.match(fault('FROM a\nCMD ["a", 1]').message, /arrays must be comprised of strings only/);
  assert.deepEqual(one("COPY", 'COPY ["a b", "/c d/"]').sources, ["a b"]);
  assert.deepEqual(one("VOLUME", 'VOLUME ["/a b"]').paths, ["/a b"]);
  assert.deepEqual(one("VOLUME", "VOLUME /a /b").paths, ["/a", "/b"]);
});

test("here-documents of every form keep their bodies", () => {
  const run = one("RUN", "RUN <<A cat <<-'B' 3<<\"C\"\na $X\nA\n\tb\n\tB\nc\nC\n");
  assert.deepEqual(
    run.heredocs.map(({ range: _, ...rest }) => rest),
    [
      { name: "A", expand: true, stripTabs: false, fd: 0, content: "a $X\n" },
      { name: "B", expand: false, stripTabs: true, fd: 0, content: "\tb\n" },
      { name: "C", expand: false, stripTabs: false, fd: 3, content: "c\n" },
    ],
  );
  assert.equal(run.range.end.line, 8);
  const copy = one("COPY", "COPY <<EOF plain /to/\n  x\r\nEOF\r\n");
  assert.deepEqual(copy.inline, [{ name: "EOF", content: "  x\r\n", expand: true }]);
  assert.deepEqual(copy.sources, ["plain"]);
  for (const text of [
    "RUN echo '<<A'",
    "RUN cat <<<here",
    'RUN ["a", "<<A"]',
    "RUN a <<",
    "CMD <<A",
  ]) {
    assert.equal(instructions(text).length, 1, text);
  }
  assert.match(fault("FROM a\nRUN <<EOF\nx\n EOF\n").message, /unterminated heredoc/);
  assert.match(
    fault("FROM a\nCOPY a <<EOF\nEOF").message,
    /cannot accept a heredoc as a destination/,
  );
});

test("an instruction after a here-document is read as usual", () => {
  const kinds = instructions("RUN <<EOF\nFROM x\n# no comment\nEOF\n# comment\nUSER me").map(
    ({ kind }) => kind,
  );
  assert.deepEqual(kinds, ["RUN", "USER"]);
});

test("FROM has a platform, an image and a name", () => {
  const { from } = parseDockerfile("from --platform=linux/arm64 alpine:3@sha256:0 as Web-1.x")
    .stages[0]!;
  assert.equal(from.platform, "linux/arm64");
  assert.equal(from.base, "alpine:3@sha256:0");
  assert.equal(from.name, "web-1.x");
  assert.equal(from.writtenName, "Web-1.x");
  assert.match(fault("FROM a b").message, /either one or three arguments/);
  assert.match(fault("FROM a as 1b").message, /invalid name for build stage: "1b"/);
  assert.match(fault("FROM --target=x a").message, /unknown flag: --target/);
});

test("ENV and LABEL take pairs, quoted or not, and the old form", () => {
  assert.deepEqual(one("ENV", 'ENV a=1 b="2 3" c=x\\ y').pairs, [
    { key: "a", value: "1" },
    { key: "b", value: '"2 3"' },
    { key: "c", value: "x\\ y" },
  ]);
  const old = one("ENV", "ENV  key   the rest = of it ");
  assert.deepEqual([old.legacy, old.pairs], [true, [{ key: "key", value: "the rest = of it" }]]);
  assert.deepEqual(one("LABEL", 'LABEL "a b"=c').pairs, [{ key: '"a b"', value: "c" }]);
  assert.match(fault("FROM a\nENV a").message, /ENV must have two arguments/);
  assert.match(fault("FROM a\nENV =x").message, /ENV names can not be blank/);
  const missing = fault("FROM a\nENV a=1 \\\n  b=2 c d=3");
  assert.match(missing.message, /can't find = in "c"/);
  assert.deepEqual([missing.line, missing.column], [3, 7]);
});

test("every flag of COPY, ADD, RUN and HEALTHCHECK is read", () => {
  const copy = one(
    "COPY",
    "COPY --from=b --chown=u:g --chmod=755 --link --parents --exclude=*.o --exclude='a b' x /y",
  );
  assert.deepEqual(
    [copy.from, copy.chown, copy.chmod, copy.link, copy.parents, copy.exclude],
    ["b", "u:g", "755", true, true, ["*.o", "a b"]],
  );
  const add = one("ADD", "ADD --checksum=sha256:0 --keep-git-dir --unpack=false --link=false x /y");
  assert.deepEqual(
    [add.checksum, add.keepGitDir, add.unpack, add.link],
    ["sha256:0", true, false, false],
  );
  assert.equal(one("ADD", "ADD x /y").unpack, undefined);
  const run = one(
    "RUN",
    "RUN --network=none --security=insecure --device=v/c=d,required --mount=target=/a x",
  );
  assert.deepEqual(
    [run.network, run.security, run.devices, run.mounts],
    ["none", "insecure", ["v/c=d,required"], ["target=/a"]],
  );
  const health = one(
    "HEALTHCHECK",
    "HEALTHCHECK --interval=1m --timeout=2s --start-period=3s --start-interval=1ms --retries=4 CMD x",
  );
  assert.deepEqual(health.health, {
    Test: ["CMD-SHELL", "x"],
    Interval: 60e9,
    Timeout: 2e9,
    StartPeriod: 3e9,
    StartInterval: 1e6,
    Retries: 4,
  });
});

test("wrong flags are named with their place and the nearest right one", () => {
  const unknown = fault("FROM a\nCOPY --chwon=u a b");
  assert.match(unknown.message, /unknown flag: --chwon \(did you mean chown\?\)/);
  assert.deepEqual([unknown.line, unknown.column], [2, 6]);
  for (const [text, message] of [
    ["COPY --link=maybe a b", /expecting boolean value for flag link, not: maybe/],
    ["COPY --from=a --from=b a b", /duplicate flag specified: --from/],
    ["COPY --chown a b", /missing a value on flag: --chown/],
    ["RUN --network=all x", /invalid network mode "all"/],
    ["RUN --security=none x", /security "none" is not valid/],
    ["RUN --mount=type=x,target=/a x", /unsupported mount type "x"/],
    ["ENV --a=b c=d", /unknown flag: --a/],
    ["COPY --from=$X a b", /variable expansion is not supported for --from/],
    ["HEALTHCHECK --interval=1us CMD x", /Interval "interval" cannot be less than 1ms/],
    ["HEALTHCHECK --interval=x CMD x", /time: invalid duration "x"/],
    ["HEALTHCHECK --retries=-1 CMD x", /--retries cannot be negative \(-1\)/],
    ["HEALTHCHECK NONE x", /NONE takes no arguments/],
    ["HEALTHCHECK RUN x", /Unknown type "RUN" in HEALTHCHECK/],
    ["HEALTHCHECK CMD", /Missing command after HEALTHCHECK CMD/],
  ] as const) {
    assert.match(fault(`FROM a\n${text}`).message, message, text);
  }
});

test("arguments that are missing or too many are refused in the builder's words", () => {
  for (const name of [
    "ENV",
    "LABEL",
    "EXPOSE",
    "VOLUME",
    "ONBUILD",
    "HEALTHCHECK",
    "ARG",
    "SHELL",
  ]) {
    assert.match(
      fault(`FROM a\n${name}`).message,
      new RegExp(`${name} requires at least one argument`),
    );
  }
  for (const name of ["MAINTAINER", "USER", "WORKDIR", "STOPSIGNAL"]) {
    assert.match(
      fault(`FROM a\n${name}`).message,
      new RegExp(`${name} requires exactly one argument`),
    );
  }
  for (const name of ["ADD", "COPY"]) {
    const { message } = fault(`FROM a\n${name} x`);
    assert.match(message, /requires at least two arguments, but only one was provided/);
  }
  assert.match(
    fault("FROM a\nSHELL bash").message,
    /SHELL requires the arguments to be in JSON form/,
  );
  assert.match(fault('FROM a\nVOLUME ["/a", " "]').message, /can not be an empty string/);
  assert.match(fault("FROM a\nARG =x").message, /ARG names can not be blank/);
});

test("ONBUILD keeps its trigger's text, here-documents included", () => {
  const [onbuild] = instructions("onbuild  RUN cat <<EOF\nbody\nEOF\n");
  assert(onbuild?.kind === "ONBUILD" && onbuild.trigger.kind === "RUN");
  assert.equal(onbuild.expression, "RUN cat <<EOF\nbody\nEOF");
  assert.equal(onbuild.trigger.heredocs[0]?.content, "body\n");
  const again = parseTrigger(onbuild.expression);
  assert(again.kind === "RUN");
  assert.equal(again.heredocs[0]?.content, "body\n");
  assert.equal(one("ONBUILD", "ONBUILD COPY --from=b --link x /y").trigger.kind, "COPY");
  assert.match(fault("FROM a\nONBUILD FROM b").message, /FROM isn't allowed as an ONBUILD trigger/);
  assert.match(fault("FROM a\nONBUILD onbuild RUN x").message, /Chaining ONBUILD/);
  assert.match(fault("FROM a\nONBUILD COPY x").message, /at least two arguments/);
  assert.throws(() => parseTrigger("RUN a\nRUN b"), /single expression/);
});

test("faults of the whole file say what is missing", () => {
  assert.match(fault("").message, /the Dockerfile cannot be empty/);
  assert.match(fault("# only a comment\n").message, /file with no instructions/);
  assert.match(fault("ARG A=1\n").message, /contains no stages to build/);
  assert.match(fault("RUN x\nFROM a").message, /no build stage in current context/);
  const typo = fault("FROM a\n  COPYY x y\n");
  assert.match(
    typo.message,
    /parse error on line 2: unknown instruction: COPYY \(did you mean COPY\?\)/,
  );
  assert.deepEqual([typo.line, typo.column], [2, 3]);
  assert.match(fault("FROM a\n'x'").message, /unknown instruction: 'x'$/);
});

test("an error shows the lines and the place", () => {
  try {
    parseDockerfile("FROM a\nRUN x\nCMDD y\nUSER z\n", "build/Dockerfile");
    assert.fail("no fault");
  } catch (error) {
    const place = placeOf(error)!;
    assert.deepEqual([place.file, place.line, place.column], ["build/Dockerfile", 3, 1]);
    assert.equal(
      `${place.excerpt}${(error as GantryError).message}`,
      [
        "build/Dockerfile:3",
        "--------------------",
        "   1 |     FROM a",
        "   2 |     RUN x",
        "   3 | >>> CMDD y",
        "   4 |     USER z",
        "--------------------",
        "dockerfile parse error on line 3: unknown instruction: CMDD (did you mean CMD?)",
      ].join("\n"),
    );
  }
});

test("what is no text file or too large is refused", () => {
  assert.throws(() => parseDockerfile(Buffer.from("\ufeffFROM a", "utf16le")), /UTF-16/);
  assert.throws(() => parseDockerfile("FROM a\nRUN \0"), /line 2 contains a NUL byte/);
  assert.throws(() => parseDockerfile(Buffer.alloc(2 * 1024 * 1024 + 1, "#")), /larger than/);
  assert.throws(() => parseDockerfile("FROM a\n".repeat(2001)), /more than 2000 stages/);
  assert.throws(() => parseDockerfile(`FROM a\n${"USER b\n".repeat(20_001)}`), /more than 20000/);
});

const WORDS = [
  ..."FROM RUN COPY ADD ENV ARG LABEL CMD ONBUILD HEALTHCHECK SHELL EXPOSE VOLUME AS a=b".split(
    " ",
  ),
  ..."<<EOF <<-'EOF' EOF $A ${A:-b} \\ ` # [ ] \" ' , --mount=type=cache,target=/a --from=0".split(
    " ",
  ),
  " ",
  "\t",
  "\n",
  "\r\n",
  "\\\n",
  "\n# check=skip=all\n",
];

test("whatever the bytes are, parsing ends in a tree or in an error with its place", () => {
  const text = fc.oneof(
    fc.array(fc.constantFrom(...WORDS), { maxLength: 60 }).map((words) => words.join("")),
    fc
      .array(fc.constantFrom(...WORDS), { maxLength: 60 })
      .map((words) => `FROM a\n${words.join(" ")}`),
    fc.string({ unit: "binary" }).map((rest) => `FROM a\nENV ${rest}`),
  );
  const check = (input: string | Uint8Array) => {
    try {
      parseDockerfile(input);
    } catch (error) {
      assert(error instanceof GantryError, String(error));
      assert.equal(error.kind, "invalid");
      if (!/NUL byte|UTF-16/.test(error.message)) assert(placeOf(error) !== undefined);
    }
  };
  fc.assert(fc.property(text, check), { numRuns: 500 });
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), check), { numRuns: 200 });
});

test("every instruction's range covers exactly its lines", () => {
  const line = fc.constantFrom(
    "RUN a",
    "ENV a=b \\\n c=d",
    "RUN <<E\nx\nE",
    "USER u \\\n  v",
    "# c",
    "",
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
      const text = ["FROM scratch", ...lines].join("\n");
      const { stages, source } = parseDockerfile(text);
      let last = 1;
      for (const { range, keyword } of stages[0]!.instructions) {
        assert(range.start.line > last && range.end.line >= range.start.line);
        const first = source.lines[range.start.line - 1]!;
        assert(first.slice(range.start.column - 1).startsWith(keyword));
        last = range.end.line;
      }
      assert(last <= source.lines.length);
    }),
  );
});

test("large hostile files are read to their end", () => {
  const size = 400_000;
  for (const text of [
    `FROM a\nENV ${"a=b ".repeat(size / 4)}`,
    `FROM a\nRUN ${"\\\n\n".repeat(size / 3)}x`,
    `FROM a\nRUN ${"<<A ".repeat(100)}\n${"A\n".repeat(100)}`,
    `FROM a\nRUN ${" \\".repeat(size / 2)} x`,
    `FROM a\nCOPY ${"--link ".repeat(2)}${"a ".repeat(size / 2)}`,
    `FROM a\nLABEL ${'"'.repeat(size)}`,
    `FROM a\nRUN ${"[".repeat(size)}`,
    `${"#".repeat(size)}\nFROM a`,
    `FROM a\n${"ONBUILD ".repeat(size / 8)}`,
    `FROM a\nRUN ${"'".repeat(size)} <<A`,
  ]) {
    try {
      parseDockerfile(text);
    } catch (error) {
      assert(placeOf(error) !== undefined, String(error));
    }
  }
});
