// The limits of the Dockerfile language, in one place. A Dockerfile may come from a stranger, so
// each has its reason: the file's size is BuildKit's, the others keep time and memory in proportion
// to it.

/** BuildKit refuses larger Dockerfiles too. */
export const dockerfileBytesMax = 2 * 1024 * 1024;
/** `.dockerignore`: patterns that a person could still have meant. */
export const ignoreFileBytesMax = 4 * 1024 * 1024;
/** What one expanded word may grow to; the kernel takes 128 KiB in one string of exec. */
export const expandedCharsMax = 1024 * 1024;
/** `${a:-${b:-${c…}}}`: nesting beyond this is no longer written by people. */
export const expansionDepthMax = 64;
/** Steps of matching one `${v#pattern}`: text length times pattern length. */
export const patternWorkMax = 64 * 1024 * 1024;
/** Ports that the EXPOSE instructions of one stage may name, repetitions counted. */
export const exposedPortsMax = 65_536 * 3;
/** Lines of source shown around an error. */
export const excerptLinesMax = 12;
/** Generated files reach hundreds. */
export const stagesMax = 2000;
export const instructionsMax = 20_000;
/** ARG and ENV names of one stage. */
export const variablesMax = 4096;
/** All history lines of one stage together: each RUN repeats the ARGs. */
export const historyCharsMax = 16 * 1024 * 1024;
