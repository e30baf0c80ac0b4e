// Escapes that go through system calls: mounts, namespaces, devices, processes of others, keyrings,
// and the parts of the kernel that a container has no business with.
#define _GNU_SOURCE
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

const char *outcome(long result) { return result < 0 ? strerrorname_np(errno) : "done"; }

/** In a child, so that what succeeds changes nothing for the attempts after it. */
static void in_child(const char *what, long (*attempt)(void)) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    TELL(what, "%s", outcome(attempt()));
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) TELL(what, "killed by %d", WTERMSIG(status));
}

// ---- mounts: kernel file systems anew, what is read-only made writable, masks taken away

static long mount_proc(void) { return mount("proc", "/tmp", "proc", 0, NULL); }
static long mount_sysfs(void) { return mount("sysfs", "/tmp", "sysfs", 0, NULL); }
static long mount_cgroup(void) { return mount("cgroup", "/tmp", "cgroup", 0, "rdma"); }
static long mount_cgroup2(void) { return mount("cgroup2", "/tmp", "cgroup2", 0, NULL); }
static long mount_tmpfs(void) { return mount("tmpfs", "/tmp", "tmpfs", 0, NULL); }
static long mount_bind(void) { return mount("/", "/tmp", NULL, MS_BIND, NULL); }
static long remount_sys(void) { return mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL); }
static long umount_sys(void) { return umount2("/proc/sys", MNT_DETACH); }
static long umount_keys(void) { return umount2("/proc/keys", MNT_DETACH); }
static long new_fsopen(void) { return syscall(SYS_fsopen, "ext4", 0); }
static long new_fspick(void) { return syscall(SYS_fspick, AT_FDCWD, "/proc", 0); }
static long new_open_tree(void) { return syscall(SYS_open_tree, AT_FDCWD, "/", 1); }
static long new_setattr(void) {
  struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};
  return syscall(SYS_mount_setattr, AT_FDCWD, "/proc/sys", 0, &attr, sizeof attr);
}
static long new_move(void) {
  return syscall(SYS_move_mount, AT_FDCWD, "/sys", AT_FDCWD, "/tmp", 0);
}
static long pivot(void) { return syscall(SYS_pivot_root, "/", "/tmp"); }

static int v_mounts(int argc, char **argv) {
  (void)argc, (void)argv;
  in_child("mount proc", mount_proc);
  in_child("mount sysfs", mount_sysfs);
  in_child("mount cgroup", mount_cgroup);
  in_child("mount cgroup2", mount_cgroup2);
  in_child("mount tmpfs", mount_tmpfs);
  in_child("mount bind", mount_bind);
  in_child("remount /proc/sys", remount_sys);
  in_child("umount /proc/sys", umount_sys);
  in_child("umount /proc/keys", umount_keys);
  in_child("fsopen", new_fsopen);
  in_child("fspick", new_fspick);
  in_child("open_tree", new_open_tree);
  in_child("mount_setattr", new_setattr);
  in_child("move_mount", new_move);
  in_child("pivot_root", pivot);
  return 0;
}

// ---- namespaces, and what comes of a user namespace of one's own (CVE-2022-0492, -0185)

static long new_user(void) { return unshare(CLONE_NEWUSER); }
static long new_mounts(void) { return unshare(CLONE_NEWNS); }
static long clone_user(void) {
  long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  return pid;
}
static long clone3_user(void) {
  uint64_t args[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
  long pid = syscall(SYS_clone3, args, sizeof args);
  if (pid == 0) _exit(0);
  return pid;
}
static long release_agent(void) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP) < 0) return -1;
  if (mount("cgroup", "/tmp", "cgroup", 0, "memory") < 0) return -1;
  int fd = open("/tmp/release_agent", O_WRONLY);
  return fd < 0 ? -1 : write(fd, "/tmp/x", 6);
}
static long overflow_fsconfig(void) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) return -1;
  return syscall(SYS_fsopen, "ext4", 0);
}

static int v_namespaces(int argc, char **argv) {
  (void)argc, (void)argv;
  in_child("unshare user", new_user);
  in_child("unshare mnt", new_mounts);
  in_child("clone user", clone_user);
  in_child("clone3 user", clone3_user);
  in_child("release_agent", release_agent);
  in_child("fsconfig", overflow_fsconfig);
  return 0;
}

// ---- a device of the host: "device b 8 0"

static int v_device(int argc, char **argv) {
  if (argc < 4) return 2;
  const char *node = "/tmp/attack-node";
  unlink(node);
  mode_t kind = *argv[1] == 'b' ? S_IFBLK : S_IFCHR;
  int major = atoi(argv[2]), minor = atoi(argv[3]);
  if (mknod(node, kind | 0600, makedev(major, minor)) < 0) {
    TELL("mknod", "%s", outcome(-1));
    return 0;
  }
  TELL("open", "%s", outcome(open(node, O_RDWR | O_NONBLOCK | O_NOCTTY)));
  unlink(node);
  return 0;
}

// ---- processes of others: "reach PID…"

static void reach(const char *name) {
  pid_t pid = atoi(name);
  TELL("kill", "%s", outcome(kill(pid, SIGTERM)));
  TELL("ptrace", "%s", outcome(ptrace(PTRACE_SEIZE, pid, NULL, NULL)));
  char byte;
  struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
  TELL("process_vm_readv", "%s", outcome(process_vm_readv(pid, &here, 1, &there, 1, 0)));
  long fd = syscall(SYS_pidfd_open, pid, 0);
  if (fd >= 0) {
    TELL("pidfd_getfd", "%s", outcome(syscall(SYS_pidfd_getfd, fd, 0, 0)));
    TELL("setns", "%s", outcome(setns((int)fd, CLONE_NEWNS)));
  }
  static const char *files[] = {"root", "cwd", "exe", "mem", "environ", "ns/mnt", "fd/0"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
    TELL(files[i], "%s", outcome(open(path, O_RDONLY | O_NONBLOCK)));
  }
}

static int v_reach(int argc, char **argv) {
  for (int i = 1; i < argc; i++) reach(argv[i]);
  return 0;
}

// ---- keyrings, which are not namespaced: "keys NAME"

static int v_keys(int argc, char **argv) {
  if (argc < 2) return 2;
  long ring = KEY_SPEC_USER_KEYRING, session = KEY_SPEC_USER_SESSION_KEYRING;
  long key = syscall(SYS_keyctl, KEYCTL_SEARCH, ring, "user", argv[1], 0);
  TELL("search", "%s", outcome(key));
  TELL("request", "%s", outcome(syscall(SYS_request_key, "user", argv[1], NULL, ring)));
  TELL("join", "%s", outcome(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, argv[1])));
  TELL("link", "%s", outcome(syscall(SYS_keyctl, KEYCTL_LINK, ring, KEY_SPEC_SESSION_KEYRING)));
  long found = syscall(SYS_keyctl, KEYCTL_SEARCH, session, "user", argv[1], 0);
  TELL("of the session", "%s", outcome(found));
  char text[256] = "";
  if (key >= 0) syscall(SYS_keyctl, KEYCTL_READ, key, text, sizeof text - 1);
  TELL("secret", "%s", *text ? text : "none");
  return 0;
}

// ---- parts of the kernel that had, or will have, holes

static long bpf_load(void) {
  // return 0: a program that any kernel takes from who may load one
  uint64_t code[2] = {0x00000000000000b7, 0x0000000000000095};
  struct {
    uint32_t type, count;
    uint64_t instructions, license;
    uint32_t level, size;
    uint64_t buffer;
    uint64_t rest[12];
  } attr = {.type = 1, .count = 2, .instructions = (uint64_t)(uintptr_t)code,
            .license = (uint64_t)(uintptr_t)"GPL"};
  return syscall(SYS_bpf, 5, &attr, sizeof attr);
}
static long perf(void) {
  uint32_t attr[32] = {1, sizeof attr};
  return syscall(SYS_perf_event_open, attr, 0, -1, -1, 0);
}
static long uring(void) {
  uint32_t parameters[30] = {0};
  return syscall(SYS_io_uring_setup, 4, parameters);
}
static long faults(void) { return syscall(SYS_userfaultfd, O_CLOEXEC | 1); }
static long kexec(void) { return syscall(SYS_kexec_load, 0, 0, NULL, 0); }
static long module(void) { return syscall(SYS_init_module, "", 0, ""); }
static long no_module(void) { return syscall(SYS_delete_module, "gantry-none", 0); }
static long settime(void) { return syscall(SYS_clock_settime, 0, NULL); }
static long hostname(void) { return sethostname("gantry-escape", 13); }
static long kernel_log(void) { return syscall(SYS_syslog, 3, (char[64]){0}, 64); }
static long io_ports(void) { return syscall(SYS_iopl, 3); }
static long swap(void) { return syscall(SYS_swapon, "/tmp/none", 0); }
static long accounting(void) { return syscall(SYS_acct, "/tmp/none"); }
static long quota(void) { return syscall(SYS_quotactl, 0x800007 << 8, NULL, 0, NULL); }
static long vsock(void) { return socket(40, SOCK_STREAM, 0); }
static long crypto(void) { return socket(38, SOCK_SEQPACKET, 0); }
static long rxrpc(void) { return socket(33, SOCK_DGRAM, 2); }
static long handles(void) { return syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0); }
static long lookup_cookie(void) { return syscall(SYS_lookup_dcookie, 0, NULL, 0); }
static long no_aslr(void) { return syscall(SYS_personality, 0x0040000); }
static long mempolicy(void) { return syscall(SYS_set_mempolicy, 0, NULL, 0); }

static int v_surface(int argc, char **argv) {
  (void)argc, (void)argv;
  static const struct { const char *name; long (*call)(void); } all[] = {
      {"bpf", bpf_load},          {"perf_event_open", perf},  {"io_uring_setup", uring},
      {"userfaultfd", faults},    {"kexec_load", kexec},      {"init_module", module},
      {"delete_module", no_module}, {"clock_settime", settime}, {"sethostname", hostname},
      {"syslog", kernel_log},     {"iopl", io_ports},         {"swapon", swap},
      {"acct", accounting},       {"quotactl", quota},        {"AF_VSOCK", vsock},
      {"AF_ALG", crypto},         {"AF_RXRPC", rxrpc},        {"open_by_handle_at", handles},
      {"lookup_dcookie", lookup_cookie}, {"ADDR_NO_RANDOMIZE", no_aslr},
      {"set_mempolicy", mempolicy},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) in_child(all[i].name, all[i].call);
  return 0;
}

// ---- terminals: keys pushed into somebody's input (CVE-2016-2779 and its kin)

static int v_terminal(int argc, char **argv) {
  (void)argc, (void)argv;
  static const char *places[] = {"/dev/tty", "/dev/console", "/proc/self/fd/0", "/dev/tty0"};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    int fd = open(places[i], O_RDWR | O_NOCTTY | O_NONBLOCK);
    TELL(places[i], "%s", fd < 0 ? outcome(-1) : outcome(ioctl(fd, TIOCSTI, "#")));
  }
  return 0;
}

static const struct verb call_verbs[] = {
    {"mounts", v_mounts},   {"namespaces", v_namespaces}, {"device", v_device},
    {"reach", v_reach},     {"keys", v_keys},             {"surface", v_surface},
    {"terminal", v_terminal}, {NULL, NULL},
};

int main(int argc, char **argv) {
  const struct verb *tables[] = {call_verbs, file_verbs, race_verbs};
  for (size_t i = 0; argc > 1 && i < sizeof tables / sizeof *tables; i++) {
    for (const struct verb *verb = tables[i]; verb->name; verb++) {
      if (!strcmp(verb->name, argv[1])) return verb->run(argc - 1, argv + 1);
    }
  }
  fprintf(stderr, "attack: no such verb\n");
  return 2;
}
