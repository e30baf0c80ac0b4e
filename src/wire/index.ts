// What both ends of a build's session write and read: gRPC's frames and statuses, and fsutil's
// packets with the names in them. The daemon (src/buildkit) and the command line
// (src/cli/commands/build/session) have the calls on top of it, each for its own role. All of it
// works on bytes that are there: a folder is one message for each file, and none is waited for.

export { FrameReader, framed, MESSAGE_BYTES_MAX, sendBytes } from "./frames.ts";
export { type FileStat, PACKET, type Packet, PacketWriter, readPacket } from "./packets.ts";
export { PathOrder } from "./path-order.ts";
export { codeError, codeOf, encodedText, failedWith, GRPC, statusError } from "./status.ts";
