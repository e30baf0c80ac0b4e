// A reporter for node --test that writes one JSON line per result, so that tools/test.ts counts
// what the runner saw rather than what a text summary looks like. The last line is the runner's own
// summary: a process that ends without it died on the way, whatever its exit code says.

import { inspect } from "node:util";

type TestEvent = {
  type: string;
  data: {
    name: string;
    nesting: number;
    file?: string;
    skip?: string | boolean;
    todo?: string | boolean;
    details?: { type?: string; error?: { failureType?: string; cause?: unknown } };
  };
};

/** One line of the report. */
export type ReportLine =
  | { type: "pass" | "skip"; name: string; file: string }
  | { type: "fail"; name: string; file: string; error: string }
  | { type: "summary" };

export default async function* reporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const path: string[] = [];
  for await (const { type, data } of source) {
    if (type === "test:start") {
      path.length = data.nesting;
      path.push(data.name);
    }
    const line = toLine(type, data, path);
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
  }
  yield `${JSON.stringify({ type: "summary" } satisfies ReportLine)}\n`;
}

function toLine(type: string, data: TestEvent["data"], path: string[]): ReportLine | undefined {
  if (type !== "test:pass" && type !== "test:fail") return undefined;
  const name = [...path.slice(0, data.nesting), data.name].join(" › ");
  const file = data.file ?? "";
  const error = data.details?.error;
  // A suite counts only when it failed by itself: its tests are counted one by one.
  if (error?.failureType === "subtestsFailed") return undefined;
  if (type === "test:fail" && !data.todo) {
    return { type: "fail", name, file, error: inspect(error?.cause ?? error, { depth: 4 }) };
  }
  if (data.skip || data.todo) return { type: "skip", name, file };
  if (data.details?.type === "suite") return undefined;
  return { type: "pass", name, file };
}
