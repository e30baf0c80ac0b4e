// Commands that fill something with a tar archive: the body of one request, from a file or from
// standard input. A file that cannot be read is told before the daemon is asked.

import { accessSync, constants } from "node:fs";
import { callerPath } from "../io.ts";
import type { Session } from "../session.ts";
import { fileError, shownSource } from "../streams/files.ts";

/** Prints the name of what was filled. */
export async function importArchive(
  session: Session,
  source: string,
  { method, path }: { method: "POST" | "PUT"; path: string },
): Promise<number> {
  const { io } = session;
  if (source !== "-") {
    try {
      accessSync(callerPath(io, source), constants.R_OK);
    } catch (error) {
      throw fileError(source, error);
    }
  }
  const client = await session.client();
  const { Name } = await client.json<{ Name: string }>(method, path, {
    body: shownSource(io, source, "Importing"),
    contentType: "application/x-tar",
    signal: io.signal,
  });
  session.print(Name);
  return 0;
}
