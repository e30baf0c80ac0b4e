export { cgroupFiles } from "./cgroup-files.ts";
export { type Scope, scopeOf, sliceFolder } from "./unit-names.ts";
export { type CgroupFile, unitProperties } from "./unit-properties.ts";
export { SystemdUnits } from "./units.ts";
