// "Are you sure?": yes is only what starts with y.

import { GantryError } from "../../base/index.ts";
import type { Session } from "../session.ts";

/** Asks on stdout and reads one line of stdin. */
export async function confirm(session: Session, question: string): Promise<boolean> {
  session.io.stdout.write(`${question} [y/N] `);
  const input = session.io.stdin.open();
  let text = "";
  for await (const chunk of input as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.includes("\n")) break;
  }
  session.io.stdin.close();
  if (text.trim().toLowerCase() === "y" || text.trim().toLowerCase() === "yes") return true;
  throw new GantryError("cancelled", "operation cancelled", { detail: { exitCode: 1 } });
}
