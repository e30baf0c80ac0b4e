// The door of selinux: which labels containers have, and the labels of what is mounted in them.

export { sharedLabel } from "./labels.ts";
export { type LabelRecord, SeLinux } from "./selinux.ts";
