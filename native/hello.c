// The program of the hello-world image: prints, from inside, the proof of its isolation. Everything
// it says is read from the kernel while it runs; it is the only file of its image.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

// By number, as in linux/capability.h.
static const char *const capability_names[] = {
    "chown",           "dac_override",     "dac_read_search", "fowner",        "fsetid",
    "kill",            "setgid",           "setuid",          "setpcap",       "linux_immutable",
    "net_bind_service", "net_broadcast",   "net_admin",       "net_raw",       "ipc_lock",
    "ipc_owner",       "sys_module",       "sys_rawio",       "sys_chroot",    "sys_ptrace",
    "sys_pacct",       "sys_admin",        "sys_boot",        "sys_nice",      "sys_resource",
    "sys_time",        "sys_tty_config",   "mknod",           "lease",         "audit_write",
    "audit_control",   "setfcap",          "mac_override",    "mac_admin",     "syslog",
    "wake_alarm",      "block_suspend",    "audit_read",      "perfmon",       "bpf",
    "checkpoint_restore",
};
#define CAPABILITY_COUNT (sizeof capability_names / sizeof *capability_names)
#define TEXT_COLUMN 16
#define LINE_COLUMNS 78

// Prints words after a title, broken into lines that stay in the text column.
static void print_words(const char *title, const char *const *words, size_t count) {
  int column = printf("  %-*s", TEXT_COLUMN - 2, title);
  for (size_t i = 0; i < count; i++) {
    if (i > 0 && column + (int)strlen(words[i]) + 1 > LINE_COLUMNS) {
      column = printf("\n%*s", TEXT_COLUMN, "") - 1;
    } else if (i > 0) {
      column += printf(" ");
    }
    column += printf("%s", words[i]);
  }
  printf("\n");
}

// The value of a line of /proc/self/status, or "".
static const char *status_value(const char *name, char *value, size_t size) {
  FILE *file = fopen("/proc/self/status", "re");
  char line[512];
  value[0] = '\0';
  while (file && fgets(line, sizeof line, file)) {
    size_t length = strlen(name);
    if (strncmp(line, name, length) || line[length] != ':') continue;
    snprintf(value, size, "%s", line + length + 1 + strspn(line + length + 1, " \t"));
    value[strcspn(value, "\n")] = '\0';
  }
  if (file) fclose(file);
  return value;
}

static void print_process(void) {
  char threads[64];
  int visible = 0;
  DIR *proc = opendir("/proc");
  for (struct dirent *entry; proc && (entry = readdir(proc));) {
    visible += entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
  }
  if (proc) closedir(proc);
  printf("  %-*spid %d, user %d, group %d; processes that I can see: %d\n", TEXT_COLUMN - 2,
         "process", getpid(), getuid(), getgid(), visible);
  int no_new_privs = atoi(status_value("NoNewPrivs", threads, sizeof threads));
  printf("  %-*s%s\n", TEXT_COLUMN - 2, "privileges",
         no_new_privs ? "no_new_privs is set" : "no_new_privs is not set (Docker's default)");
}

static void print_host(void) {
  struct utsname name;
  if (uname(&name) == 0) {
    printf("  %-*s%s, on Linux %s %s\n", TEXT_COLUMN - 2, "hostname", name.nodename, name.release,
           name.machine);
  }
}

static void print_namespaces(void) {
  static const char *const kinds[] = {"pid", "net", "mnt", "ipc", "uts", "cgroup", "user", "time"};
  char texts[8][32];
  const char *words[8];
  size_t count = 0;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    char path[32], link[32] = "";
    snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
    if (readlink(path, link, sizeof link - 1) < 0) continue;
    snprintf(texts[count], sizeof texts[count], "%s", link);
    words[count] = texts[count];
    count++;
  }
  print_words("namespaces", words, count);
}

static void print_cgroup(void) {
  FILE *file = fopen("/proc/self/cgroup", "re");
  char line[512], chosen[512] = "";
  int hierarchies = 0;
  while (file && fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = '\0';
    hierarchies++;
    if (strstr(line, ":memory:") || chosen[0] == '\0') snprintf(chosen, sizeof chosen, "%s", line);
  }
  if (file) fclose(file);
  if (hierarchies == 0) return;
  const char *version = hierarchies == 1 ? "v2" : "v1";
  const char *path = strrchr(chosen, ':') ? strrchr(chosen, ':') + 1 : chosen;
  printf("  %-*s%s, %s\n", TEXT_COLUMN - 2, "cgroup", version, path);
}

// The layers beneath / are in the options of its line in mountinfo, where the mount was not made
// through descriptors, whose paths the kernel may shorten.
static void print_root(void) {
  FILE *file = fopen("/proc/self/mountinfo", "re");
  static char line[65536];
  int mounts = 0;
  char type[64] = "", access[8] = "";
  int layers = 0;
  while (file && fgets(line, sizeof line, file)) {
    char point[256];
    mounts++;
    if (sscanf(line, "%*s %*s %*s %*s %255s %7[^, ]", point, access) != 2) continue;
    char *tail = strstr(line, " - ");
    if (strcmp(point, "/") || !tail) continue;
    sscanf(tail, " - %63s", type);
    char *lower = strstr(tail, "lowerdir");
    for (; lower; lower = strstr(lower + 1, "lowerdir")) {
      layers++;
      for (char *c = lower; *c && *c != ','; c++) layers += *c == ':';
    }
    printf("  %-*s%s (%s", TEXT_COLUMN - 2, "root", type, access);
    if (layers > 0) printf(", %d read-only layer%s below", layers, layers == 1 ? "" : "s");
    printf(")");
  }
  if (file) fclose(file);
  printf("; %d mounts in all\n", mounts);
}

static void print_capabilities(void) {
  char value[64];
  uint64_t mask = strtoull(status_value("CapEff", value, sizeof value), NULL, 16);
  const char *words[CAPABILITY_COUNT + 1];
  char count_text[32];
  size_t count = 1;
  for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
    if (mask >> i & 1) words[count++] = capability_names[i];
  }
  snprintf(count_text, sizeof count_text, "%zu of %zu:", count - 1, CAPABILITY_COUNT);
  words[0] = count_text;
  print_words("capabilities", words, count);
}

static void print_seccomp(void) {
  static const char *const modes[] = {"off", "strict", "on: a filter decides on each system call"};
  char value[64];
  int mode = atoi(status_value("Seccomp", value, sizeof value));
  printf("  %-*s%s\n", TEXT_COLUMN - 2, "seccomp", mode >= 0 && mode <= 2 ? modes[mode] : value);
}

static void print_interfaces(void) {
  static char texts[32][INET6_ADDRSTRLEN + IFNAMSIZ + 2];
  const char *words[32];
  size_t count = 0;
  struct ifaddrs *list = NULL;
  if (getifaddrs(&list) < 0) return;
  for (struct ifaddrs *i = list; i && count < 32; i = i->ifa_next) {
    char address[INET6_ADDRSTRLEN] = "";
    if (!i->ifa_addr) continue;
    if (i->ifa_addr->sa_family == AF_INET) {
      struct sockaddr_in *four = (struct sockaddr_in *)i->ifa_addr;
      inet_ntop(AF_INET, &four->sin_addr, address, sizeof address);
    } else if (i->ifa_addr->sa_family == AF_INET6) {
      struct sockaddr_in6 *six = (struct sockaddr_in6 *)i->ifa_addr;
      inet_ntop(AF_INET6, &six->sin6_addr, address, sizeof address);
    } else {
      continue;
    }
    snprintf(texts[count], sizeof texts[count], "%.15s %s", i->ifa_name, address);
    words[count] = texts[count];
    count++;
  }
  freeifaddrs(list);
  print_words("network", words, count);
}

int main(void) {
  printf("\nHello from Gantry!\n\n"
         "This program is alone in a container. What the kernel tells it about itself:\n\n");
  print_process();
  print_host();
  print_namespaces();
  print_cgroup();
  print_root();
  print_capabilities();
  print_seccomp();
  print_interfaces();
  printf("\nCompare with the same facts outside: ls -l /proc/self/ns; cat /proc/self/status\n\n"
         "A shell in a real system, from an archive of its root file system:\n"
         "  gantry import alpine-minirootfs.tar.gz alpine\n"
         "  gantry run -it --rm alpine\n\n");
  return 0;
}
