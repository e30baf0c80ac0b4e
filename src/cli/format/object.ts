// --format for one object (version, info, inspect): a Go template over the daemon's JSON.

import { GantryError, messageOf } from "../../base/index.ts";

/** Docker answers a template that does not parse with this exit code. */
const EXIT_TEMPLATE = 64;
export type ObjectFormat = (data: unknown) => string;

/** Compiles a format: "json" means {{json .}}; throws docker's words and exit code. */
export async function objectFormat(
  format: string,
  {
    name = "",
    missingKey = "default" as "default" | "error",
    prefix = "template parsing error: ",
  } = {},
): Promise<ObjectFormat> {
  const { compileTemplate } = await import("../../template/index.ts");
  const source = format === "json" ? "{{json .}}" : format;
  let template: ReturnType<typeof compileTemplate>;
  try {
    template = compileTemplate(source, name);
  } catch (error) {
    throw new GantryError("invalid", `template parsing error: ${messageOf(error)}`, {
      cause: error,
      detail: { exitCode: EXIT_TEMPLATE },
    });
  }
  return (data) => {
    try {
      return template.execute(data, { missingKey });
    } catch (error) {
      const { partialOutput } = error as { partialOutput?: string };
      throw new GantryError("invalid", `${prefix}${messageOf(error)}`, {
        cause: error,
        detail: { partialOutput },
      });
    }
  };
}
