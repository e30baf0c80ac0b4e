// Runs one archive operation from the command line, without spawner or plans: for tests under
// ASan and UBSan, and for fuzzing the tar reader. Prints the results as decimal numbers.
//   harness untar ROOT FLAGS [SPLIT [MAXBYTES MAXENTRIES]] <tar    harness rebuild ROOT SPLIT >tar
//   harness tar ROOT PATH NAME FLAGS >tar                          harness upper ROOT >tar
//   harness size ROOT    harness changes UPPER LOWER    harness copy FROM TO FLAGS
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../native/archive.h"

// Only op_drop_points takes lists; no test here runs it.
const char *next_str(const char **cursor, uint32_t *length) {
  (void)length;
  return *cursor;
}

op_function op_untar, op_tar, op_tar_upper, op_untar_rebuild, op_copy_tree, op_tree_size,
    op_changes, op_stat_path;

static char result[1 << 20];
static size_t result_used;

int run_fail(struct run *r, int error, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(r->text, sizeof r->text, format, args);
  va_end(args);
  return error;
}
int run_result(struct run *r, const void *data, size_t n) {
  (void)r;
  if (result_used + n > sizeof result) return -ENOBUFS;
  memcpy(result + result_used, data, n);
  result_used += n;
  return 0;
}
int run_fd(struct run *r, const struct field *f) {
  return f->num < 0 ? AT_FDCWD : r->slot[f->num] < 0 ? -EBADF : (int)r->slot[f->num];
}
int run_open(struct run *r, const struct field *root, const char *path, int flags, unsigned mode) {
  (void)mode;
  return open_beneath(run_fd(r, root), path, flags, true);
}
int run_open_parent(struct run *r, const struct field *root, const char *path, const char **name) {
  static char folder[4096];
  const char *slash = strrchr(path, '/');
  size_t n = slash == NULL ? 0 : (size_t)(slash - path);
  memcpy(folder, path, n);
  folder[n] = '\0';
  *name = slash == NULL ? path : slash + 1;
  return open_beneath(run_fd(r, root), folder, O_PATH | O_DIRECTORY, true);
}
void auto_close(int *fd) {
  if (*fd >= 0) close(*fd);
}

static struct run run;
static struct field fields[11];

static void slot(int at, int fd) {
  fields[at] = (struct field){.kind = F_SLOT, .num = fd < 0 ? NO_SLOT : at};
  if (fd >= 0) run.slot[at] = fd;
}
static void text(int at, const char *value) {
  fields[at] = (struct field){.kind = F_STR, .ptr = value, .len = (uint32_t)strlen(value)};
}
static void number(int at, const char *value) {
  fields[at] = (struct field){.kind = F_INT, .num = atoll(value)};
}
static int folder(const char *path) {
  return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static op_function *untar(int argc, char **argv) {
  slot(0, folder(argv[2]));
  text(1, "");
  slot(2, 0);
  slot(3, argc > 4 ? open(argv[4], O_RDWR | O_CREAT | O_TRUNC, 0600) : -1);
  number(4, argv[3]);
  number(5, argc > 5 ? argv[5] : "0");
  number(6, argc > 6 ? argv[6] : "0");
  number(7, "0");
  number(8, "0");
  slot(9, -1);
  return op_untar;
}

static op_function *choose(int argc, char **argv) {
  const char *verb = argv[1];
  if (strcmp(verb, "untar") == 0 && argc >= 4) return untar(argc, argv);
  if (strcmp(verb, "rebuild") == 0 && argc == 4) {
    slot(0, folder(argv[2]));
    slot(1, open(argv[3], O_RDONLY));
    slot(2, 1);
    return op_untar_rebuild;
  }
  if (strcmp(verb, "tar") == 0 && argc == 6) {
    slot(0, folder(argv[2]));
    text(1, argv[3]);
    text(2, argv[4]);
    slot(3, 1);
    number(4, argv[5]);
    return op_tar;
  }
  if (strcmp(verb, "upper") == 0 && argc == 3) {
    slot(0, folder(argv[2]));
    slot(1, 1);
    number(2, "0");
    return op_tar_upper;
  }
  if (strcmp(verb, "size") == 0 && argc == 3) {
    slot(0, folder(argv[2]));
    text(1, "");
    return op_tree_size;
  }
  if (strcmp(verb, "changes") == 0 && argc == 4) {
    slot(0, folder(argv[2]));
    slot(1, folder(argv[3]));
    return op_changes;
  }
  if (strcmp(verb, "copy") == 0 && argc == 5) {
    slot(0, folder(argv[2]));
    text(1, ".");
    slot(2, folder(argv[3]));
    text(3, ".");
    number(4, argv[4]);
    return op_copy_tree;
  }
  return NULL;
}

int main(int argc, char **argv) {
  op_function *function = argc < 2 ? NULL : choose(argc, argv);
  if (function == NULL) return 64;
  struct op op = {.fields = fields, .count = 9};
  int error = function(&run, &op);
  if (error < 0) {
    fprintf(stderr, "%s: %s\n", strerror(-error), run.text);
    return 1;
  }
  if (function == op_changes) {
    for (size_t at = 0; at < result_used; at += strlen(result + at) + 1) puts(result + at);
  } else {
    for (size_t at = 0; at + 8 <= result_used; at += 8) {
      int64_t n;
      memcpy(&n, result + at, 8);
      fprintf(stderr, "%lld\n", (long long)n);
    }
  }
  return 0;
}
