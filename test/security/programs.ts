// The static programs of these tests, compiled once for what their sources say, and the image that
// carries them: the payload with the probe and the attacks beside it.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { payloadRootfs } from "../payload/payload.ts";
import { compiled } from "../support/compiled.ts";

const folder = fileURLToPath(new URL("programs", import.meta.url));
const SOURCES = {
  probe: ["probe.c", "probe-calls.c", "probe-files.c", "probe.h"],
  attack: ["attack.c", "attack-files.c", "attack-races.c", "attack.h"],
};
export type Program = keyof typeof SOURCES;

/** The path of the compiled program; it runs on the host too. */
export function securityProgram(name: Program): Promise<string> {
  return compiled(
    name,
    SOURCES[name].map((file) => join(folder, file)),
  );
}

/** The payload's root file system with these programs in /bin. */
export async function rootfsWith(...programs: Program[]): Promise<Buffer> {
  return await payloadRootfs(
    await Promise.all(
      programs.map(async (name) => {
        const content = await readFile(await securityProgram(name));
        return { type: "file" as const, name: `bin/${name}`, mode: 0o755, content };
      }),
    ),
  );
}
