// The door of the logs: what a container wrote, as clients and remote log drivers read it.

export { monitorLog, tagNames } from "./options.ts";
export { containerLogs, readLogs } from "./read.ts";
