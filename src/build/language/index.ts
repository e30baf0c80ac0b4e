export {
  type DockerfileErrorDetail,
  errorAt,
  formatDockerfileError,
  placeOf,
} from "./dockerfile-error.ts";
export { parseDockerfile, parseTrigger } from "./parse.ts";
export type { RunMount } from "./run-mount.ts";
export type { SourceRange, SourceText } from "./source.ts";
export type * from "./syntax-tree.ts";
