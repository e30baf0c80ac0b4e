// The door of apparmor: the profile of containers, loaded and required.

export { AppArmor } from "./apparmor.ts";
