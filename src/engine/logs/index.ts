// The door of the logs: what a container wrote, as clients and remote log drivers read it.

export type * from "./contract.ts";
export { monitorLog, tagNames } from "./options.ts";
export { containerLogs, readLogs } from "./read.ts";
