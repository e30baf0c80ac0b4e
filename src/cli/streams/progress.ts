// Docker's progress messages: on a terminal each layer has a line that is redrawn, elsewhere one
// line is printed for each change of status.

import { GantryError, humanSize } from "../../base/index.ts";
import { jsonValues } from "../../client/index.ts";
import type { Output } from "../io.ts";
import { progressBar } from "./transfer.ts";

interface ProgressMessage {
  stream?: string;
  status?: string;
  id?: string;
  progress?: string;
  progressDetail?: { current?: number; total?: number };
  error?: string;
  errorDetail?: { message?: string };
  aux?: unknown;
}

const BAR_COLUMNS = 50;
const BAR_COLUMNS_MIN = 8;

/** Prints a progress stream; throws the error that it may end with. */
export async function showProgress(
  out: Output,
  body: AsyncIterable<Buffer>,
  { quiet = false, onAux = (_aux: unknown) => {} } = {},
): Promise<void> {
  const lines = new Map<string, number>();
  for await (const message of jsonValues<ProgressMessage>(body)) {
    if (message.error !== undefined || message.errorDetail !== undefined) {
      throw new GantryError(
        "internal",
        message.errorDetail?.message || message.error || "the daemon reported an error",
      );
    }
    if (message.aux !== undefined) onAux(message.aux);
    if (quiet || message.aux !== undefined) continue;
    if (message.stream !== undefined) out.write(message.stream);
    else if (out.isTerminal) drawLine(out, message, lines);
    else if (!message.progressDetail?.current) printLine(out, message);
  }
}

function printLine(out: Output, { id, status }: ProgressMessage): void {
  if (status === undefined) return;
  out.write(id ? `${id}: ${status}\n` : `${status}\n`);
}

function drawLine(out: Output, message: ProgressMessage, lines: Map<string, number>): void {
  const { id, status = "" } = message;
  if (!id) {
    out.write(`${status}\n`);
    lines.clear();
    return;
  }
  let line = lines.get(id);
  if (line === undefined) {
    line = lines.size;
    lines.set(id, line);
    out.write("\n");
  }
  const up = lines.size - line;
  const head = `${id}: ${status} `;
  const columns = out.columns() ?? Infinity;
  // A line that the terminal wraps would put the next ones in wrong places.
  const text = `${head}${bar(message, columns - head.length)}`.slice(0, columns - 1);
  out.write(`\x1b[${up}A\r\x1b[2K${text}\r\x1b[${up}B`);
}

function bar({ progressDetail, progress }: ProgressMessage, columns: number): string {
  const { current = 0, total = 0 } = progressDetail ?? {};
  if (current === 0 && total === 0) return progress ?? "";
  if (total <= 0 || current > total) return humanSize(current).padStart(8);
  const numbers = `${humanSize(current)}/${humanSize(total)}`;
  const room = Math.min(BAR_COLUMNS, columns - numbers.length - 5);
  if (room < BAR_COLUMNS_MIN) return numbers;
  return `${progressBar(current / total, room)}  ${numbers}`;
}
