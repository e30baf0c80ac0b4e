// --debug: a shell on the caller's terminal in the state that a failed step left. The daemon keeps
// that state while the build's session is open, so this comes before the session is closed.

import type { Session } from "../../session.ts";
import { followSize } from "../../streams/attach-session.ts";
import { joinStreams } from "../../streams/hijack.ts";

interface FailedStep {
  Name: string;
  Args: string[];
  ExitCode: number | null;
}

/** Opens the shell and waits for its end; says so where nothing is kept. */
export async function openFailedStep(session: Session, ref: string): Promise<void> {
  const { io } = session;
  if (!io.stdin.isTerminal || !io.stdout.isTerminal) {
    session.warn("--debug opens a shell only on a terminal");
    return;
  }
  const client = await session.client();
  const step = await client
    .json<FailedStep>("GET", `/gantry/builds/${ref}/failure`)
    .catch(() => undefined);
  if (step === undefined) {
    session.warn("--debug: no step is left to look at: the build failed before one ran");
    return;
  }
  session.warn(`Opening a shell in the state that "${step.Name}" left. Leave it with "exit".`);
  const path = `/gantry/builds/${ref}/shell`;
  const size = io.windowSize();
  const query = { tty: true, ...(size ? { h: size.rows, w: size.columns } : {}) };
  const hijacked = await client.hijack(path, { query });
  const stop = followSize(session, client, path);
  try {
    await joinStreams(io, hijacked, {
      ...{ tty: true, stdin: true, stdout: true, stderr: true, detachKeys: [] },
    });
  } finally {
    stop();
    await client.empty("DELETE", `/gantry/builds/${ref}/failure`).catch(() => {});
  }
}
