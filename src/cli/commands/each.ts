// Commands that do one thing to each of several objects go on after a failure, print what worked,
// and end with every failure in words.

import { adviceLines, adviceOf, messageOf } from "../../base/index.ts";
import type { Session } from "../session.ts";

/** Runs `work` for each name in order; prints the name, or what `work` returns. */
export async function forEach(
  session: Session,
  names: readonly string[],
  work: (name: string) => Promise<string | undefined>,
  {
    parallel = false,
    tolerate = () => false,
  }: { parallel?: boolean; tolerate?: (error: unknown) => boolean } = {},
): Promise<number> {
  let failed = 0;
  const one = async (name: string) => {
    try {
      return { text: (await work(name)) ?? name };
    } catch (error) {
      return { error };
    }
  };
  const pending = parallel ? names.map(one) : [];
  for (const [at, name] of names.entries()) {
    const { text, error } = (await (parallel ? pending[at]! : one(name))) as {
      text?: string;
      error?: unknown;
    };
    if (text !== undefined) session.print(text);
    else {
      session.warn([messageOf(error), ...adviceLines(adviceOf(error) ?? {})].join("\n"));
      if (!tolerate(error)) failed++;
    }
  }
  return failed === 0 ? 0 : 1;
}

/** One path segment of a URL. */
export function segment(name: string): string {
  return encodeURIComponent(name);
}
