// Go's os.FileMode bits, as docker's X-Docker-Container-Path-Stat header has them, from st_mode.

const S_IFMT = 0o170000;
// A map, because a formatter's fix of octal keys in an object once made other numbers of them.
const TYPES = new Map([
  [0o040000, 2 ** 31], // directory
  [0o120000, 2 ** 27], // symbolic link
  [0o060000, 2 ** 26], // block device
  [0o020000, 2 ** 26 + 2 ** 21], // character device
  [0o010000, 2 ** 25], // named pipe
  [0o140000, 2 ** 24], // socket
]);

export function goFileMode(mode: number): number {
  const type = TYPES.get(mode & S_IFMT) ?? 0;
  const setuid = mode & 0o4000 ? 2 ** 23 : 0;
  const setgid = mode & 0o2000 ? 2 ** 22 : 0;
  const sticky = mode & 0o1000 ? 2 ** 20 : 0;
  return type + setuid + setgid + sticky + (mode & 0o777);
}

export const isDirectory = (goMode: number): boolean => goMode >= 2 ** 31;
