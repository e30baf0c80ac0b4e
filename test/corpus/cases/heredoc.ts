// Here-documents in RUN, COPY and ADD.

import { type Case, lines } from "../case.ts";

const of = (name: string, ...text: string[]): Case => ({
  name: `heredoc-${name}`,
  dockerfile: lines("FROM base", ...text),
});

export const heredoc: Case[] = [
  of("run", "RUN <<EOF", "one", "  two $A \\$B", "EOF"),
  of("run-quoted", "RUN <<'EOF'", "one $A", "EOF"),
  of("run-strip", "RUN <<-EOF", "\tone", "\t\ttwo", "\tEOF"),
  of("run-shebang", "RUN <<EOF", "#!/bin/sh -x", "body", "EOF"),
  of("run-shebang-cat", "RUN <<EOF", "#!/bin/cat", "body", "EOF"),
  of("run-command", "RUN cat <<EOF", "one", "EOF"),
  of("run-two", "RUN cat <<A && cat <<-B", "one", "A", "\ttwo", "\tB"),
  of("run-fd", "RUN cat 3<<EOF <&3", "x", "EOF"),
  of("run-empty", "RUN <<EOF", "EOF"),
  of("run-interpreter", "RUN sh <<EOF", "x", "EOF"),
  of("run-shell", 'SHELL ["/bin/sh", "-e"]', "RUN <<EOF", "x", "EOF"),
  of("run-continued", "RUN a \\", "  <<EOF b", "x", "EOF"),
  of("run-in-quotes", 'RUN echo "<<EOF"', "RUN echo '<<EOF'"),
  of("run-here-string", "RUN cat <<<word"),
  of("run-comment-inside", "RUN <<EOF", "# kept", "x \\", "# kept too", "EOF"),
  of("run-mount", "RUN --mount=type=tmpfs,target=/m <<EOF", "x", "EOF"),
  of("run-exec-form", 'RUN ["/bin/sh", "<<EOF"]'),
  { ...of("unterminated", "RUN <<EOF", "x"), fails: true },
  of("copy", "COPY <<EOF /f", "one", " two", "EOF"),
  of("copy-expand", "ARG V=val", "COPY <<EOF /f", "$V ${V} \\$V \"$V\" '$V'", "EOF"),
  of("copy-quoted", "ARG V=val", 'COPY <<"EOF" /f', "$V", "EOF"),
  of("copy-name", "COPY <<name.txt /d/", "x", "name.txt"),
  of("copy-several", "COPY <<a <<b Dockerfile /d/", "1", "a", "2", "b"),
  of("copy-flags", "COPY --chmod=750 --chown=5:6 <<EOF /f", "x", "EOF"),
  of("copy-strip", "COPY <<-EOF /f", "\t\tx", "\ty", "EOF"),
  of("copy-empty", "COPY <<EOF /f", "EOF"),
  of("copy-blank-lines", "COPY <<EOF /f", "", "  ", "x", "", "EOF"),
  of("copy-link", "COPY --link <<EOF /l/f", "x", "EOF"),
  of("copy-folder-name", "COPY <<a/b /d/", "x", "a/b"),
  of("copy-destination-expanded", "ENV D=/made", "COPY <<EOF $D/f", "x", "EOF"),
  of("copy-backslash", "COPY <<EOF /f", "a\\", "b\\n \\\\ \\x", "EOF"),
  of("copy-unset", "COPY <<EOF /f", "[$NOTHING] ${N:-d}", "EOF"),
  of("add", "ADD <<EOF /f", "one", "EOF"),
  { ...of("copy-destination", "COPY Dockerfile <<EOF", "x", "EOF"), fails: true },
  {
    name: "heredoc-directive-escape",
    dockerfile: lines("# escape=`", "FROM base", "ENV V=1", "COPY <<EOF /f", "`$V \\$V $V", "EOF"),
  },
];
