// What a case of the corpus is: a Dockerfile with its context and arguments, and the row of the
// language that it shows. What it makes is in expected.json, as stock BuildKit made it.

export interface Case {
  /** Unique; also the name of the image. */
  name: string;
  dockerfile: string;
  /** The context. Modes are 0644 and 0755, owners root, times those of FILE_TIME. */
  files?: Record<string, ContextFile>;
  buildArgs?: Record<string, string>;
  labels?: Record<string, string>;
  target?: string;
  /** Cases that this one's base is built by. */
  after?: string;
  /** It is an error; expected.json has its words. */
  fails?: boolean;
  /** Only a session can give these: secrets by id, and the answer of an ssh agent. */
  secrets?: Record<string, string>;
  ssh?: boolean;
  /** --build-context: name → files. */
  contexts?: Record<string, Record<string, ContextFile>>;
  /** --allow. */
  allow?: string[];
  /** Whether it is looked at by the checks only, or not at all. */
  check?: "only" | "skip";
}

/** Text is a file's; the other kinds are said. */
export type ContextFile =
  | string
  | Buffer
  | { kind: "file"; text: string | Buffer; mode?: number }
  | { kind: "folder"; mode?: number }
  | { kind: "link"; to: string };

/** Of every file of a context, so that what keeps it can be seen. */
export const FILE_TIME = new Date("2001-02-03T04:05:06Z");

export const lines = (...text: string[]): string => `${text.join("\n")}\n`;
