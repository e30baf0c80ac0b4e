// A process that takes in a folder's changes again and again until it is killed: for what a crash
// leaves of a kept context. Arguments: the context's folder.

import { KeptContext } from "../../src/engine/build/contexts/kept-context.ts";
import { syncFolder } from "../../src/engine/build/contexts/session-context.ts";
import type { ClientFile } from "../../src/engine/build/session.ts";

const log = { warn: (text: string) => console.error(text) };
const signal = new AbortController().signal;
const kept = await KeptContext.open(process.argv[2]!, log as never);
for (let round = Date.now(); ; round++) {
  const files = Array.from({ length: 300 }, (_, at): ClientFile => {
    const size = 1000 + at * 37;
    return {
      ...{ path: `f${String(at).padStart(3, "0")}`, mode: 0o100644, uid: 0, gid: 0, size },
      ...{ modifiedNs: BigInt(at % 3 === 0 ? round : 5), linkname: "", devMajor: 0, devMinor: 0 },
      xattrs: new Map(),
    };
  });
  const folder = {
    entries: (async function* () {
      yield* files;
    })(),
    content: async function* (index: number) {
      const { size, modifiedNs } = files[index]!;
      yield Buffer.alloc(size, `${index}:${modifiedNs} `);
    },
    finish: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
  const context = await syncFolder(kept, folder, { filter: "", signal });
  await context.release();
  process.stdout.write("synced\n");
}
