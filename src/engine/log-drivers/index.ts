// The door of the remote log drivers.

export { remoteDriver, remoteDriverNames } from "./drivers.ts";
export { LogShipping, type LogShippingStatus } from "./shipping.ts";
