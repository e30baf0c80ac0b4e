// Entry of gantry-native: one static program, a role by its first argument. The resident roles
// first re-execute themselves from a sealed memfd, so that no container can ever reach, and
// overwrite, the program on disk through /proc/<pid>/exe (CVE-2019-5736).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor.h"
#include "warm.h"
#include "wire.h"

int spawn_main(void);
int runtime_main(int argc, char **argv);
int ports_main(int argc, char **argv) __attribute__((weak));
int resolver_main(int argc, char **argv) __attribute__((weak));
int firewall_watch_main(int argc, char **argv) __attribute__((weak));
int datagrams_main(int argc, char **argv) __attribute__((weak));
int archive_main(int argc, char **argv) __attribute__((weak));

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static char *title_start;
static size_t title_bytes;

void set_title(const char *role, const char *id) {
  if (!title_start) return;
  memset(title_start, 0, title_bytes);
  snprintf(title_start, title_bytes, *id ? "%s %.12s" : "%s%s", role, id);
  prctl(PR_SET_NAME, role);
}

static int complain(const char *what) {
  dprintf(2, "gantry-native: %s: %s\n", what, strerror(errno));
  return 2;
}

static bool is_sealed(void) {
  AUTO_CLOSE int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  int seals = self < 0 ? -1 : fcntl(self, F_GET_SEALS);
  return seals >= 0 && (seals & SEALS) == SEALS;
}

static int reexecute(char **argv) {
  if (is_sealed()) return 0;
  AUTO_CLOSE int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (self < 0) return complain("cannot open /proc/self/exe");
  struct stat st;
  int copy = memfd_create("gantry-native", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (copy < 0 || fstat(self, &st)) return complain("cannot make a sealed copy");
  for (off_t at = 0; at < st.st_size;)
    if (sendfile(copy, self, &at, (size_t)(st.st_size - at)) <= 0)
      return complain("cannot make a sealed copy");
  if (fchmod(copy, 0500) || fcntl(copy, F_ADD_SEALS, SEALS)) return complain("cannot seal");
  fexecve(copy, argv, environ);
  return complain("cannot run the sealed copy");
}

// For fuzzing: reads `u32 length | bytes` again and again, decodes each as a plan, answers 1 (it is
// one) or 0. The copy is exact, so that a read past the end is seen by AddressSanitizer.
static int decode_main(void) {
  for (uint32_t length; read_exact(0, &length, sizeof length) == 0;) {
    if (length > FRAME_BYTES_MAX) return 2;
    uint8_t *input = malloc(length ? length : 1);
    if (!input || read_exact(0, input, length)) return 2;
    struct plan plan;
    int error = plan_decode(&plan, input, length);
    if (!error) plan_free(&plan);
    free(input);
    if (write_fully(1, error ? "0" : "1", 1)) return 2;
  }
  return 0;
}

// Is somewhere (in a cgroup that systemd made) for as long as its standard input is open.
static int hold_main(void) {
  for (char byte; read(0, &byte, 1) > 0;) {
  }
  return 0;
}

// The copy that is run does not know where it came from: it is told.
static int oci_runtime(int argc, char **argv) {
  static const char place[] = "GANTRY_RUNTIME_ROOT";
  const char *told = getenv(place);
  if (is_sealed() && told) {
    snprintf(warm_root, sizeof warm_root, "%s", told);
    unsetenv(place);
    return runtime_main(argc, argv);
  }
  if (warm_find_root() || setenv(place, warm_root, 1))
    return complain("cannot find its own folder");
  int error = reexecute(argv);
  return error ? error : complain("cannot run the sealed copy");
}

int main(int argc, char **argv) {
  const char *slash = strrchr(argc > 0 ? argv[0] : "", '/');
  if (argc > 0 && !strcmp(slash ? slash + 1 : argv[0], "gantry-runtime"))
    return oci_runtime(argc, argv);
  const char *role = argc > 1 ? argv[1] : "";
  if (strcmp(role, "decode") == 0) return decode_main();
  if (strcmp(role, "hold") == 0) return hold_main();
  if (strcmp(role, "archive") == 0 && archive_main) return archive_main(argc - 1, argv + 1);
  int (*resident)(int, char **) = NULL;
  bool spawn = strcmp(role, "spawn") == 0;
  if (strcmp(role, "ports") == 0) resident = ports_main;
  if (strcmp(role, "resolver") == 0) resident = resolver_main;
  if (strcmp(role, "firewall-watch") == 0) resident = firewall_watch_main;
  if (strcmp(role, "datagrams") == 0) resident = datagrams_main;
  if (!spawn && !resident) {
    dprintf(2, "usage: gantry-native spawn|ports|resolver (started by the gantry daemon)\n");
    return 2;
  }
  int error = reexecute(argv);
  if (error) return error;
  if (!spawn) return resident(argc - 1, argv + 1);
  // The arguments have served: their memory shows in `ps` what a process is.
  title_start = argv[0];
  title_bytes = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - argv[0]);
  return spawn_main();
}
