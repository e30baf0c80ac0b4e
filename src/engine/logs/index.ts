// The door of the logs: what a container wrote, as clients and remote log drivers read it.

export { extraAttributes, type LogInfo, logTag } from "./attributes.ts";
export type * from "./contract.ts";
export { markShipped, readEntries, readShipped, releaseShipped } from "./entries.ts";
export type { LogKeeper } from "./keeper.ts";
export { checkDefaultLog, openLogKeeper } from "./open.ts";
export { logPlace, monitorLog } from "./policy.ts";
export { containerLogs, readLogs } from "./read.ts";
export { logBytes, logUsage } from "./usage.ts";
export { checkLogOptions } from "./validate.ts";
