// The door of the remote log drivers.

export { remoteDriver, remoteDriverNames } from "./drivers.ts";
export { localLog } from "./local-log.ts";
export { LogShipping, type LogShippingStatus } from "./shipping.ts";
export { logShippingCounters, logShippingOf } from "./status.ts";
