export {
  type Answer,
  API_VERSION,
  API_VERSION_MIN,
  type CallOptions,
  Client,
  type ClientOptions,
  compareVersions,
  type Hijacked,
  type PingResult,
  type Query,
  readAll,
} from "./client.ts";
export { openStream, type TlsMaterial } from "./connect.ts";
export { type Endpoint, parseEndpoint } from "./endpoint.ts";
export { jsonTexts, jsonValues } from "./json-stream.ts";
export { StdDemultiplexer, type StdFrame } from "./stdcopy.ts";
