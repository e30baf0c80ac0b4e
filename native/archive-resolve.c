// Paths as people wrote them: what a path of a container means after every symlink (also where the
// end of it does not exist), and which paths a pattern matches. Only names are found here: whoever
// uses one opens it again inside the root, so a name that was swapped meanwhile leads nowhere.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive.h"
#include "operations.gen.h"

#define LINKS_MAX 40  // as the kernel
#define NAMES_MAX 4000000  // that one pattern may be held against

// ---- what a path means

static void cut_last(char *path) {
  char *slash = strrchr(path, '/');
  *(slash == NULL ? path : slash) = '\0';
}

static int append(char *path, const char *name, size_t n) {
  size_t used = strlen(path);
  if (used + n + 2 > PATH_MAX) return -ENAMETOOLONG;
  path[used] = '/';
  memcpy(path + used + 1, name, n);
  path[used + 1 + n] = '\0';
  return 0;
}

// Puts a link's target in front of what is still to be walked.
static int expand(int fd, char *rest, const char *after, char *out) {
  char target[PATH_MAX], joined[PATH_MAX];
  ssize_t n = readlinkat(fd, "", target, sizeof target - 1);
  if (n < 0) return -errno;
  target[n] = '\0';
  if (target[0] == '/') out[0] = '\0';
  else cut_last(out);
  int length = snprintf(joined, sizeof joined, "%s/%s", target, after);
  if (length < 0 || length >= (int)sizeof joined) return -ENAMETOOLONG;
  memcpy(rest, joined, (size_t)length + 1);
  return 0;
}

int resolve_links(int root, const char *path, char *out) {
  char rest[PATH_MAX];
  if (strlen(path) >= sizeof rest) return -ENAMETOOLONG;
  strcpy(rest, path);
  out[0] = '\0';
  int links = 0;
  for (char *at = rest; *at != '\0';) {
    while (*at == '/') at++;
    size_t n = strcspn(at, "/");
    if (n == 0) break;
    char *next = at + n;
    if (n == 2 && memcmp(at, "..", 2) == 0) cut_last(out);
    else if (!(n == 1 && *at == '.')) {
      int error = append(out, at, n);
      if (error < 0) return error;
      AUTO_CLOSE int fd = open_beneath(root, out, O_PATH | O_NOFOLLOW, true);
      struct stat st;
      if (fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode)) {
        if (++links > LINKS_MAX) return -ELOOP;
        error = expand(fd, rest, next, out);
        if (error < 0) return error;
        at = rest;
        continue;
      }
    }
    at = next;
  }
  if (out[0] == '\0') strcpy(out, "/");
  return 0;
}

// ---- patterns

struct glob {
  struct run *run;
  int root;
  int64_t max, found, seen;
};

static bool is_pattern(const char *text, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (strchr("*?[\\", text[i]) != NULL) return true;
  }
  return false;
}

// Whether `c` is in the set that begins after "["; *end is set behind its "]", or to NULL.
static bool in_set(const char *p, const char *stop, unsigned char c, const char **end) {
  bool negated = p < stop && (*p == '!' || *p == '^'), found = false;
  if (negated) p++;
  for (const char *first = p; p < stop && (*p != ']' || p == first); p++) {
    if (*p == '\\' && p + 1 < stop) p++;
    unsigned char from = (unsigned char)*p, to = from;
    if (p + 2 < stop && p[1] == '-' && p[2] != ']') {
      p += 2;
      if (*p == '\\' && p + 1 < stop) p++;
      to = (unsigned char)*p;
    }
    found |= c >= from && c <= to;
  }
  *end = p < stop ? p + 1 : NULL;
  return found != negated;
}

// One element of a pattern against one character; its end, or NULL where it does not match.
static const char *match_one(const char *p, const char *stop, unsigned char c) {
  if (p == stop) return NULL;
  if (*p == '?') return p + 1;
  if (*p == '[') {
    const char *end;
    bool in = in_set(p + 1, stop, c, &end);
    if (end != NULL) return in ? end : NULL;
  }
  if (*p == '\\' && p + 1 < stop) p++;
  return (unsigned char)*p == c ? p + 1 : NULL;
}

// As a shell: a leading dot must be written. Only the last star is ever tried again, so the time
// is at most the product of both lengths.
bool matches_pattern(const char *p, size_t n, const char *name) {
  const char *stop = p + n, *star = NULL, *again = NULL;
  if (*name == '.' && (n == 0 || *p != '.')) return false;
  while (*name != '\0') {
    if (p < stop && *p == '*') {
      star = ++p;
      again = name;
      continue;
    }
    const char *next = match_one(p, stop, (unsigned char)*name);
    if (next != NULL) {
      p = next;
      name++;
    } else if (star != NULL) {
      p = star;
      name = ++again;
    } else {
      return false;
    }
  }
  while (p < stop && *p == '*') p++;
  return p == stop;
}

static int expand_pattern(struct glob *g, char *path, const char *rest);

static int found(struct glob *g, const char *path) {
  if (++g->found > g->max) {
    return run_fail(g->run, -E2BIG, "the pattern matches more than %lld files", (long long)g->max);
  }
  return run_result(g->run, *path == '\0' ? "/" : path, *path == '\0' ? 2 : strlen(path) + 1);
}

// Goes on with one name of a folder; names that cannot be entered match nothing.
static int expand_name(struct glob *g, char *path, const char *name, size_t n, const char *rest) {
  size_t used = strlen(path);
  int error = append(path, name, n);
  if (error == 0) {
    AUTO_CLOSE int fd = open_beneath(g->root, path, O_PATH | O_NOFOLLOW, true);
    if (fd >= 0) error = *rest == '\0' ? found(g, path) : expand_pattern(g, path, rest);
  }
  path[used] = '\0';
  return error;
}

static int expand_folder(struct glob *g, char *path, const char *p, size_t n, const char *rest) {
  AUTO_CLOSE int fd = open_beneath(g->root, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK, true);
  if (fd < 0) return 0;
  char **names;
  size_t count;
  int error = read_names(fd, &names, &count);
  for (size_t i = 0; error == 0 && i < count; i++) {
    if (++g->seen > NAMES_MAX) {
      error = run_fail(g->run, -E2BIG, "the pattern passes through too many files");
    } else if (matches_pattern(p, n, names[i])) {
      error = expand_name(g, path, names[i], strlen(names[i]), rest);
    }
  }
  free_names(names, count);
  return error;
}

static int expand_pattern(struct glob *g, char *path, const char *rest) {
  while (*rest == '/') rest++;
  size_t n = strcspn(rest, "/");
  if (n == 0) return found(g, path);
  const char *next = rest + n;
  if (n == 1 && *rest == '.') return expand_pattern(g, path, next);
  if (is_pattern(rest, n)) return expand_folder(g, path, rest, n, next);
  return expand_name(g, path, rest, n, next);
}

int op_glob_path(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  struct glob g = {.run = r, .max = f[A_GLOB_PATH_MAX].num};
  g.root = run_fd(r, &f[A_GLOB_PATH_ROOT]);
  if (g.root < 0) return -EBADF;
  char path[PATH_MAX] = "";
  int error = expand_pattern(&g, path, f[A_GLOB_PATH_PATTERN].ptr);
  return error < 0 && r->text[0] == '\0' ? run_fail(r, error, "%s", f[A_GLOB_PATH_PATTERN].ptr)
                                         : error;
}
