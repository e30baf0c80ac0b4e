// Resolving and making paths inside a root (ops-file.c), for the other operation files.
#ifndef GANTRY_PATHS_H
#define GANTRY_PATHS_H
#include <sys/types.h>

struct new_folder {
  mode_t mode;
  uid_t uid;
  gid_t gid;
};

// openat2 with RESOLVE_IN_ROOT; a descriptor or a negative errno.
int open_in_root(int root, const char *path, int flags, unsigned mode);
// Makes every missing folder of `path` inside `root` (AT_FDCWD: /); returns it, opened O_PATH.
int make_folders(int root, const char *path, const struct new_folder *how);
// Makes an empty file (and its folders) unless something is there.
int make_file(int root, const char *path, unsigned mode, const struct new_folder *folders);

#endif
