// The virtual machine's first process: loads the modules that its initramfs carries, puts a
// writable overlay over a root file system (the host's, shared read-only through 9p), mounts what a
// Linux system has with cgroup v2 alone and the folders of /shares, runs /command and ends the
// machine with its exit code.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __x86_64__
#include <sys/io.h>
#endif

#define EXIT_PORT 0xf4  // isa-debug-exit: qemu ends with (value << 1) | 1
#define OPTIONS_9P "trans=virtio,version=9p2000.L,msize=262144,cache=loose"

static void end(int code) {
  sync();
#ifdef __x86_64__
  if (iopl(3) == 0) outb((unsigned char)code, EXIT_PORT);
#endif
  // Without such a port whoever reads the console learns it.
  printf("\nvm init: exit %d\n", code);
  fflush(stdout);
  reboot(RB_POWER_OFF);
  for (;;) pause();
}

static void must(int result, const char *what) {
  if (result >= 0) return;
  printf("vm init: %s: %s\n", what, strerror(errno));
  fflush(stdout);
  end(120);
}

static void load_modules(void) {
  for (int i = 0; i < 100; i++) {
    char path[64];
    snprintf(path, sizeof path, "/modules/%02d.ko", i);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST) must(-1, path);
    close(fd);
  }
}

static void mount_at(const char *type, const char *source, const char *target, unsigned long flags,
                     const char *data) {
  mkdir(target, 0755);
  if (mount(source, target, type, flags, data) < 0) must(-1, target);
}

static void mount_root(void) {
  mount_at("9p", "host", "/lower", MS_RDONLY, OPTIONS_9P);
  mount_at("tmpfs", "tmpfs", "/upper", 0, "mode=755");
  must(mkdir("/upper/u", 0755), "upper");
  must(mkdir("/upper/w", 0755), "work");
  mount_at("overlay", "overlay", "/root", 0,
           "lowerdir=/lower,upperdir=/upper/u,workdir=/upper/w,metacopy=off");
  must(chdir("/root"), "new root");
  mount_at("proc", "proc", "proc", 0, "");
  mount_at("sysfs", "sysfs", "sys", 0, "");
  mount_at("devtmpfs", "dev", "dev", 0, "mode=755");
  mount_at("devpts", "devpts", "dev/pts", 0, "gid=5,mode=620,ptmxmode=666");
  mount_at("tmpfs", "shm", "dev/shm", 0, "");
  mount_at("tmpfs", "tmpfs", "run", 0, "mode=755");
  mount_at("tmpfs", "tmpfs", "tmp", 0, "mode=1777");
  // An overlay cannot be an overlay's upper layer: data roots need a plain file system.
  mount_at("ext4", "dev/vda", "var/tmp", 0, "");
  must(chmod("var/tmp", 01777), "var/tmp");
  mount_at("cgroup2", "cgroup2", "sys/fs/cgroup", 0, "");
  mount("securityfs", "sys/kernel/security", "securityfs", 0, "");
  mount("selinuxfs", "sys/fs/selinux", "selinuxfs", 0, "");
  mount("bpf", "sys/fs/bpf", "bpf", 0, "");
  mount_at("9p", "modules", "usr/lib/modules", MS_RDONLY, OPTIONS_9P);
  must(mount(".", "/", NULL, MS_MOVE, NULL), "move root");
  must(chroot("."), "chroot");
  must(chdir("/"), "chdir");
}

// A line of /shares is a tag and a path: each is put there beneath a writable layer of its own.
static void mount_shares(FILE *list) {
  char tag[32], target[512], lower[64], upper[64], work[64], options[256];
  for (int i = 0; list && fscanf(list, "%31s %511s", tag, target) == 2; i++) {
    snprintf(lower, sizeof lower, "/run/vm/%s", tag);
    snprintf(upper, sizeof upper, "/run/vm/%s-upper", tag);
    snprintf(work, sizeof work, "/run/vm/%s-work", tag);
    mkdir("/run/vm", 0755);
    mkdir(upper, 0755);
    mkdir(work, 0755);
    mount_at("9p", tag, lower, MS_RDONLY, OPTIONS_9P);
    unlink(target);  // a symlink of a checkout
    for (char *at = strchr(target + 1, '/'); at; at = strchr(at + 1, '/')) {
      *at = '\0';
      mkdir(target, 0755);
      *at = '/';
    }
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work);
    mount_at("overlay", "overlay", target, 0, options);
  }
}

static void loopback_up(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  must(ioctl(fd, SIOCSIFFLAGS, &request), "lo");
  close(fd);
}

int main(void) {
  mkdir("/dev", 0755);
  mount("dev", "/dev", "devtmpfs", 0, "");
  load_modules();
  char *command = calloc(1, 65536);
  int fd = open("/command", O_RDONLY);
  must(fd, "/command");
  must((int)read(fd, command, 65535), "/command");
  close(fd);
  FILE *shares = fopen("/shares", "r");
  mount_root();
  mount_shares(shares);
  loopback_up();
  must(sethostname("gantry-vm", 9), "hostname");
  pid_t child = fork();
  must(child, "fork");
  if (child == 0) {
    setsid();
    char *env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                   "HOME=/root", "TERM=dumb", "GANTRY_VM=1", NULL};
    execle("/bin/sh", "sh", "-c", command, (char *)NULL, env);
    _exit(127);
  }
  int status = 0;
  for (;;) {
    int each;
    pid_t pid = wait(&each);
    if (pid == child) status = each;
    if (pid == child || (pid < 0 && errno == ECHILD)) break;
  }
  end(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}
