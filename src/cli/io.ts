// What a command may touch of the outside.

export {
  callerPath,
  type Input,
  type Io,
  type Output,
  type WindowSize,
  writeAll,
} from "../warm/index.ts";
