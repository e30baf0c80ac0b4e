// History lines as the classic builder wrote them, for images whose history people compare with
// those of old builds: "/bin/sh -c #(nop)  CMD [...]".

import type { Step } from "./steps.ts";

/** `contentDigest` names what ADD and COPY took: the classic builder shows it instead of paths. */
export function classicHistory(
  step: Step,
  shell: readonly string[],
  contentDigest = "",
): string | undefined {
  const comment = (text: string) => `${shell.join(" ")} #(nop) ${text}`;
  const { instruction } = step;
  switch (step.kind) {
    case "run":
      return step.history?.created_by?.replace(/^RUN /, "").replace(/ # buildkit$/, "");
    case "copy":
    case "add": {
      const owner = step.chown ? `--chown=${step.chown} ` : "";
      const { destination } = step;
      return comment(`${instruction.kind} ${owner}${contentDigest} in ${destination} `);
    }
    default: {
      if (instruction.kind === "ONBUILD") return comment(` ONBUILD ${instruction.expression}`);
      const line = step.history?.created_by;
      if (line === undefined) return undefined;
      const isPorts = instruction.kind === "EXPOSE";
      return comment(` ${isPorts ? line.replace(/[[\]]/g, "") : line}`);
    }
  }
}
