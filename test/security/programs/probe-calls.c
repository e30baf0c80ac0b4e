// Which system calls get through: each number is called with arguments that no call accepts, so
// that nothing happens, and the error tells a filter (EPERM, ENOSYS, SIGSYS) from the kernel. Which
// is how amicontained asks, for every number here, and for the other ABIs of the machine too.
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NUMBER_MAX 480

static long plain(const long *a) {
  return syscall(a[0], -1L, -1L, -1L, -1L, -1L, -1L);
}

/** Those that end or suspend the caller by their nature: nothing can be told from trying. */
static bool silent(long number) {
  switch (number) {
    case SYS_exit:
    case SYS_exit_group:
    case SYS_pause:
    case SYS_rt_sigreturn:
    case SYS_vfork:
      return true;
    default:
      return false;
  }
}

#if defined(__x86_64__)
/** As a 32-bit program calls; the filter must know that table too. */
static long int80(const long *a) {
  long result;
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "a"(a[0]), "b"(a[1]), "c"(a[2]), "d"(a[3])
                   : "memory", "r8", "r9", "r10", "r11");
  result = (int)result;
  if (result >= 0) return result;
  errno = (int)-result;
  return -1;
}
#define X32 0x40000000L
static void other_abis(void) {
  // open_by_handle_at, bpf, userfaultfd, mount, init_module of i386
  static const struct { const char *name; long number; } old[] = {
      {"getpid", 20}, {"mount", 21},  {"init_module", 128}, {"open_by_handle_at", 342},
      {"bpf", 357},   {"unshare", 310}, {"userfaultfd", 374}, {"io_uring_setup", 425},
  };
  for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
    long a[] = {old[i].number, -1, -1, -1};
    ROW("i386", old[i].name, "%s", error_name(attempt(int80, a)));
  }
  for (long family = AF_ALG; family <= AF_VSOCK; family += 2) {
    long a[] = {359, family, SOCK_SEQPACKET, 0};
    ROW("i386", family == AF_ALG ? "socket AF_ALG" : "socket AF_VSOCK", "%s",
        error_name(attempt(int80, a)));
  }
  long mount[] = {X32 + SYS_mount}, bpf[] = {X32 + SYS_bpf};
  ROW("x32", "mount", "%s", error_name(attempt(plain, mount)));
  ROW("x32", "bpf", "%s", error_name(attempt(plain, bpf)));
}
#else
static void other_abis(void) {}
#endif

static long personality_call(const long *a) { return syscall(SYS_personality, a[0]); }

void probe_system_calls(void) {
  for (long number = 0; number <= NUMBER_MAX; number++) {
    if (silent(number)) continue;
    char key[16];
    snprintf(key, sizeof key, "%ld", number);
    long a[] = {number};
    ROW("call", key, "%s", error_name(attempt(plain, a)));
  }
  static const long personalities[] = {0, 8, 0x20000, 0x40000, 0x400000, 0x100000};
  for (size_t i = 0; i < sizeof personalities / sizeof *personalities; i++) {
    char key[16];
    snprintf(key, sizeof key, "0x%lx", personalities[i]);
    ROW("personality", key, "%s", error_name(attempt(personality_call, &personalities[i])));
  }
  other_abis();
}

static long socket_call(const long *a) { return socket((int)a[0], (int)a[1], (int)a[2]); }

/** A family is open if any of its kinds gets past the filter. */
void probe_sockets(void) {
  static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET};
  for (long family = 0; family <= 47; family++) {
    char key[16];
    snprintf(key, sizeof key, "%ld", family);
    int best = EPERM;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
      long a[] = {family, kinds[i], 0};
      int error = attempt(socket_call, a);
      if (error == 0 || best == EPERM) best = error;
      if (error == 0) break;
    }
    ROW("socket", key, "%s", error_name(best));
  }
}
