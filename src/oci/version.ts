// Which program and which specification this is.

export const NAME = "gantry-runtime";
/** As in package.json. */
export const VERSION = "0.1.0";
export const SPEC_VERSION = "1.3.0";

/** In the form that podman, containerd and dockerd read: name and version, then key: value. */
export function versionText(): string {
  return `${NAME} version ${VERSION}\nspec: ${SPEC_VERSION}\nnode: ${process.version}\n`;
}
