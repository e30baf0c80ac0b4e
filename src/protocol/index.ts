export type {
  AuthBody,
  CreateBody,
  ExecCreateBody,
  ExecStartBody,
  UpdateBody,
  VolumeCreateBody,
} from "./container-schemas.ts";
export { parseFilters } from "./filters.ts";
export {
  NOT_A_SWARM_MANAGER,
  type RefusalCheck,
  type RefusedRoute,
  refusedRoutes,
} from "./other-routes.ts";
export { parseQuery, type QuerySpec, type QueryType, type QueryValues } from "./query.ts";
export { type CompiledRoute, compileRoutes, type Method, type RouteSpec } from "./route-table.ts";
export { type Routes, routes } from "./routes.ts";
export { decode, type Schema } from "./schema.ts";
export { encodeFrame, FrameDecoder, STDCOPY_HEADER_BYTES, type StdStream } from "./stdcopy.ts";
export {
  API_VERSION_MAX,
  API_VERSION_MIN,
  ApiVersion,
  acceptVersion,
  compareVersions,
} from "./versions.ts";
export {
  encodeWebsocketFrame,
  OPCODE,
  WebsocketDecoder,
  websocketAccept,
} from "./websocket.ts";
