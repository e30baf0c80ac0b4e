// The numbers of native/archive.h, and the few open(2) flags that storage's plans use.

export const ARCHIVE = {
  layer: 1,
  chown: 2,
  keepKind: 4,
  sync: 8,
  contents: 16,
  oneMount: 32,
  ifEmpty: 64,
  keepRoot: 128,
} as const;

export const O = {
  rdonly: 0,
  rdwr: 0o2,
  creat: 0o100,
  excl: 0o200,
  directory: 0o200000,
  nofollow: 0o400000,
  path: 0o10000000,
} as const;
