// --debug: a shell in the state that a failed step left, on the caller's terminal.

import { GantryError } from "../../../base/index.ts";
import type { Session } from "../../session.ts";

export async function openFailedStep(_session: Session, _ref: string): Promise<void> {
  throw new GantryError("not-implemented", "no shell yet");
}
