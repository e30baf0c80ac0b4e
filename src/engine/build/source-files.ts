// What COPY, ADD and bind mounts read from, in one shape: a context with an index, whose files need
// not be touched to be found and counted, or a file system of layers, which the native program
// reads from inside. Nothing that either holds leads outside.

import type { Readable } from "node:stream";
import type { CopyPath } from "../../build/index.ts";
import type { TarFile, TarSink } from "./tar-scanner.ts";

/** A file or folder to copy. */
export interface Item {
  /** Its real path in the source. */
  path: string;
  isFolder: boolean;
  /** The name that it has where it is copied into a folder. */
  name: string;
  /** --parents: the folder beneath the destination that it goes to, else "". */
  into: string;
}

/** Whether a path, seen from what is copied, is left out. */
export type Excludes = (path: string) => boolean;

type Call = { signal: AbortSignal };

export interface SourceFiles {
  /** Digests of what was selected of these very files before. */
  readonly digests?: Map<string, string>;
  /** What a path or pattern names. Throws what the user is shown when that is nothing. */
  find(path: CopyPath, o: Call): Promise<Item[]>;
  /** Reads the files of an item into `sink`, and yields between chunks: names are relative to the
   * folder, "" is the folder or file itself; what is excluded does not come. */
  scan(item: Item, excludes: Excludes, sink: TarSink, o: Call): AsyncGenerator<void>;
  /** The same with the digest of each content instead of it ("" where there is none). */
  list(item: Item, excludes: Excludes, o: Call): AsyncIterable<readonly [TarFile, string]>;
  /** The bytes of a file. */
  content(item: Item, o: Call): Readable;
}
