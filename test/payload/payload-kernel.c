// What the kernel has set for a process, asked from inside (or, with a pid, from outside):
// scheduling, priorities, memory policy, personality, filters. And raw system calls, of every ABI
// that the processor has, to see what a filter does with them; and the agent that answers for it.
#define _GNU_SOURCE
#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define X32_BIT 0x40000000

struct scheduling {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
  uint32_t util_min, util_max;
};

// sched [PID]: policy, nice, priority, flags, runtime, deadline, period
int v_sched(int argc, char **argv) {
  struct scheduling s = {.size = sizeof s};
  if (syscall(SYS_sched_getattr, number(argc, argv, 1, 0), &s, sizeof s, 0))
    return fail("sched_getattr");
  printf("policy=%u nice=%d priority=%u flags=%llu runtime=%llu deadline=%llu period=%llu\n",
         s.policy, s.nice, s.priority, (unsigned long long)s.flags, (unsigned long long)s.runtime,
         (unsigned long long)s.deadline, (unsigned long long)s.period);
  return 0;
}

// ioprio [PID]: class and level
int v_ioprio(int argc, char **argv) {
  long value = syscall(SYS_ioprio_get, 1, number(argc, argv, 1, 0));
  if (value < 0) return fail("ioprio_get");
  printf("class=%ld level=%ld\n", value >> 13, value & 7);
  return 0;
}

int v_mempolicy(int argc, char **argv) {
  (void)argc, (void)argv;
  unsigned long nodes[16] = {0};
  int mode;
  if (syscall(SYS_get_mempolicy, &mode, nodes, sizeof nodes * 8, 0, 0))
    return fail("get_mempolicy");
  printf("mode=%d flags=%x nodes=%lx\n", mode & 0xff, mode & ~0xff, nodes[0]);
  return 0;
}

int v_personality(int argc, char **argv) {
  (void)argc, (void)argv;
  struct utsname name;
  uname(&name);
  printf("personality=%x machine=%s\n", (unsigned)personality(0xffffffff), name.machine);
  return 0;
}

// ---- raw system calls

static void tell(long result) {
  if (result < 0 && result > -4096) printf("errno %ld\n", -result);
  else printf("ok %ld\n", result);
  fflush(stdout);
}

static long plain_call(unsigned long number, const unsigned long a[6]) {
  long result = syscall((long)number, a[0], a[1], a[2], a[3], a[4], a[5]);
  return result == -1 ? -errno : result;
}

static long narrow_call(unsigned long number, const unsigned long a[6]) {
#if defined(__x86_64__)
  int result;
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "0"((int)number), "b"((int)a[0]), "c"((int)a[1]), "d"((int)a[2]),
                     "S"((int)a[3]), "D"((int)a[4])
                   : "memory", "r8", "r9", "r10", "r11");
  return result;
#else
  (void)number, (void)a;
  return -ENOSYS;
#endif
}

// NUMBER[:ARGUMENT…], "i386:NUMBER…", "x32:NUMBER…"
static long call_of(const char *text) {
  int narrow = !strncmp(text, "i386:", 5), x32 = !strncmp(text, "x32:", 4);
  char *at = (char *)text + (narrow ? 5 : x32 ? 4 : 0);
  unsigned long nr = strtoul(at, &at, 0), a[6] = {0};
  for (int i = 0; i < 6 && *at == ':'; i++) a[i] = strtoull(at + 1, &at, 0);
  if (narrow) return narrow_call(nr, a);
  return plain_call(x32 ? nr | X32_BIT : nr, a);
}

// call CALL…: "ok RESULT" or "errno NUMBER" a line
int v_call(int argc, char **argv) {
  for (int i = 1; i < argc; i++) tell(call_of(argv[i]));
  return 0;
}

static void *call_in_thread(void *text) {
  tell(call_of(text));
  return NULL;
}

// threadcall CALL: in a thread of its own; what is left of the process says so
int v_threadcall(int argc, char **argv) {
  pthread_t thread;
  if (argc < 2 || pthread_create(&thread, NULL, call_in_thread, argv[1])) return fail("thread");
  pthread_join(thread, NULL);
  puts("the process goes on");
  return 0;
}

static void on_sigsys(int signal, siginfo_t *info, void *context) {
  (void)context;
  printf("signal %d code %d errno %d syscall %d arch %x\n", signal, info->si_code, info->si_errno,
         info->si_syscall, info->si_arch);
}

// trapcall CALL: with a handler for SIGSYS
int v_trapcall(int argc, char **argv) {
  struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
  sigaction(SIGSYS, &action, NULL);
  return v_call(argc, argv);
}

static void on_signal(int signal) { (void)signal; }

// signalcall CALL: SIGUSR1 interrupts it
int v_signalcall(int argc, char **argv) {
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGUSR1, &action, NULL);
  return v_call(argc, argv);
}

// tracecall CALL: a tracer sees the filter's message and lets the call go on
int v_tracecall(int argc, char **argv) {
  pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    return v_call(argc, argv);
  }
  int status;
  waitpid(child, &status, 0);
  if (ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL))
    return fail("ptrace");
  for (;;) {
    ptrace(PTRACE_CONT, child, 0, 0);
    if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) break;
    unsigned long message = 0;
    if (status >> 8 != (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) continue;
    ptrace(PTRACE_GETEVENTMSG, child, 0, &message);
    printf("traced %lu\n", message);
    fflush(stdout);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

// filter PID: from outside, the flags of the newest filter of a process, then its instructions
int v_filter(int argc, char **argv) {
  pid_t pid = (pid_t)number(argc, argv, 1, 0);
  struct { uint64_t index, flags; } about = {0, 0};
  struct sock_filter code[4096];
  int status;
  if (ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0))
    return fail("ptrace");
  waitpid(pid, &status, 0);
  long count = ptrace(0x420c /* PTRACE_SECCOMP_GET_FILTER */, pid, 0, code);
  if (count < 0) return fail("PTRACE_SECCOMP_GET_FILTER");
  if (ptrace(0x420d /* PTRACE_SECCOMP_GET_METADATA */, pid, sizeof about, &about) < 0)
    return fail("PTRACE_SECCOMP_GET_METADATA");
  printf("flags=%llu\n", (unsigned long long)about.flags);
  for (long i = 0; i < count; i++)
    printf("%x %u %u %x\n", code[i].code, code[i].jt, code[i].jf, code[i].k);
  return 0;
}

// ---- the agent

// The state of a process, its first bytes with the descriptor.
static int receive_state(int fd, char *text, size_t size) {
  int listener = -1;
  size_t have = 0;
  for (;;) {
    char control[CMSG_SPACE(sizeof(int) * 4)];
    struct iovec part = {text + have, size - 1 - have};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    if (n <= 0) break;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c && c->cmsg_type == SCM_RIGHTS) {
      if (have > 0 || c->cmsg_len != CMSG_LEN(sizeof(int))) return -1;
      memcpy(&listener, CMSG_DATA(c), sizeof listener);
    }
    have += (size_t)n;
  }
  text[have] = 0;
  return listener;
}

// NUMBER=ERRNO fails the call, NUMBER=+VALUE answers with it, NUMBER=?VALUE does so after a line on
// the agent's stdin; every other call goes on.
static void answer(int argc, char **argv, const struct seccomp_notif *question,
                   struct seccomp_notif_resp *reply) {
  for (int i = 2; i < argc; i++) {
    char *end;
    if (strtol(argv[i], &end, 0) != question->data.nr || *end != '=') continue;
    char line;
    if (end[1] == '?' && read(0, &line, 1) < 0) _exit(1);
    if (end[1] == '+' || end[1] == '?') reply->val = strtol(end + 2, NULL, 0);
    else reply->error = -(int)strtol(end + 1, NULL, 0);
    return;
  }
  reply->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
}

static _Noreturn void attend(int listener, int argc, char **argv) {
  for (;;) {
    struct seccomp_notif question = {0};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question)) {
      if (errno == EINTR || errno == ENOENT) continue;
      _exit(0);
    }
    struct seccomp_notif_resp reply = {.id = question.id};
    dprintf(1, "asked %d by %u\n", question.data.nr, question.pid);
    answer(argc, argv, &question, &reply);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply) && errno != ENOENT) _exit(1);
  }
}

// agent SOCKET [ANSWER…]: prints each state that it is sent, "asked NUMBER by PID" for each call
int v_agent(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (argc < 2) return 2;
  snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
  int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 8))
    return fail(argv[1]);
  signal(SIGCHLD, SIG_IGN);
  dprintf(1, "listening\n");
  for (;;) {
    static char text[65536];
    int fd = accept(server, NULL, NULL);
    if (fd < 0) return fail("accept");
    int listener = receive_state(fd, text, sizeof text);
    close(fd);
    dprintf(1, "state %s\n", text);
    if (listener < 0) return 1;
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      attend(listener, argc, argv);
    }
    close(listener);
  }
}
