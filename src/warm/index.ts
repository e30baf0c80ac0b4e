export type { CallIo } from "./call-io.ts";
export {
  callerPath,
  type Input,
  type Io,
  type Output,
  type WindowSize,
  wantsColor,
  writeAll,
} from "./io.ts";
export { encodeFrame, FRAME, FrameReader } from "./protocol.ts";
export { serveOneCall, serveWarm, type WarmProgram } from "./server.ts";
