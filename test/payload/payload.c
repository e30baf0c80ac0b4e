// What the tests run as PID 1: one small static program with a verb for each thing that a test
// wants to see from inside a container, so that tests need no image of others and run offline. The
// verb is the name it is called by (/bin/cat) or, called as "payload", its first argument.
#define _GNU_SOURCE
#include "payload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int run_verb(int argc, char **argv);

int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return 1;
}

static void pause_ms(long ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&t, &t) < 0 && errno == EINTR) {
  }
}

long number(int argc, char **argv, int at, long otherwise) {
  return at < argc ? strtol(argv[at], NULL, 0) : otherwise;
}

// ---- plain things

static int v_true(int argc, char **argv) { (void)argc, (void)argv; return 0; }
static int v_false(int argc, char **argv) { (void)argc, (void)argv; return 1; }
static int v_exit(int argc, char **argv) { return (int)number(argc, argv, 1, 0); }

static int print_words(FILE *to, int argc, char **argv) {
  for (int i = 1; i < argc; i++) fprintf(to, "%s%s", i > 1 ? " " : "", argv[i]);
  fputc('\n', to);
  return 0;
}
static int v_echo(int argc, char **argv) { return print_words(stdout, argc, argv); }
static int v_err(int argc, char **argv) { return print_words(stderr, argc, argv); }

int copy_to_stdout(int fd) {
  char buffer[65536];
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0) {
    for (ssize_t done = 0, w; done < n; done += w) {
      if ((w = write(1, buffer + done, n - done)) < 0) return fail("write");
    }
  }
  return n < 0 ? fail("read") : 0;
}

static int v_cat(int argc, char **argv) {
  if (argc < 2) return copy_to_stdout(0);
  for (int i = 1; i < argc; i++) {
    int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(argv[i]);
    int code = copy_to_stdout(fd);
    close(fd);
    if (code) return code;
  }
  return 0;
}

static int v_env(int argc, char **argv) {
  (void)argc, (void)argv;
  for (char **e = environ; *e; e++) puts(*e);
  return 0;
}

static int v_pwd(int argc, char **argv) {
  (void)argc, (void)argv;
  char path[4096];
  if (!getcwd(path, sizeof path)) return fail("getcwd");
  return puts(path) < 0;
}

static int put_file(int argc, char **argv, int flags) {
  if (argc < 3) return 2;
  int fd = open(argv[1], O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
  if (fd < 0) return fail(argv[1]);
  if (dprintf(fd, "%s\n", argv[2]) < 0) return fail(argv[1]);
  return close(fd) < 0 ? fail(argv[1]) : 0;
}
static int v_write(int argc, char **argv) { return put_file(argc, argv, O_TRUNC); }
static int v_append(int argc, char **argv) { return put_file(argc, argv, O_APPEND); }
static int v_mkdir(int argc, char **argv) {
  return argc < 2 ? 2 : mkdir(argv[1], 0755) < 0 ? fail(argv[1]) : 0;
}
static int v_rm(int argc, char **argv) {
  return argc < 2 ? 2 : remove(argv[1]) < 0 ? fail(argv[1]) : 0;
}

static int v_ls(int argc, char **argv) {
  struct dirent **entries;
  int n = scandir(argc > 1 ? argv[1] : ".", &entries, NULL, alphasort);
  if (n < 0) return fail(argc > 1 ? argv[1] : ".");
  for (int i = 0; i < n; i++) {
    if (strcmp(entries[i]->d_name, ".") && strcmp(entries[i]->d_name, "..")) {
      puts(entries[i]->d_name);
    }
  }
  return 0;
}

static int v_stat(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    struct stat s;
    if (lstat(argv[i], &s) < 0) return fail(argv[i]);
    printf("%s mode=%o uid=%d gid=%d size=%lld rdev=%d:%d\n", argv[i], s.st_mode, s.st_uid,
           s.st_gid, (long long)s.st_size, major(s.st_rdev), minor(s.st_rdev));
  }
  return 0;
}

// ---- what the process is

static int v_id(int argc, char **argv) {
  (void)argc, (void)argv;
  gid_t groups[256];
  int n = getgroups(256, groups);
  printf("uid=%d gid=%d groups=", getuid(), getgid());
  for (int i = 0; i < n; i++) printf("%s%d", i ? "," : "", groups[i]);
  printf("\n");
  return 0;
}

static int v_status(int argc, char **argv) {
  FILE *f = fopen("/proc/self/status", "re");
  char line[512];
  if (!f) return fail("/proc/self/status");
  while (fgets(line, sizeof line, f)) {
    for (int i = 1; i < argc; i++) {
      if (!strncmp(line, argv[i], strlen(argv[i]))) fputs(line, stdout);
    }
  }
  fclose(f);
  return 0;
}

static int v_ns(int argc, char **argv) {
  (void)argc, (void)argv;
  static const char *names[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[64], link[64] = "";
    snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
    if (readlink(path, link, sizeof link - 1) > 0) puts(link);
  }
  return 0;
}

static int v_pid(int argc, char **argv) {
  (void)argc, (void)argv;
  printf("pid=%d ppid=%d sid=%d\n", getpid(), getppid(), getsid(0));
  return 0;
}

static int v_ps(int argc, char **argv) {
  (void)argc, (void)argv;
  struct dirent **entries;
  int n = scandir("/proc", &entries, NULL, versionsort);
  for (int i = 0; i < n; i++) {
    char path[300], comm[64] = "", state = '?';
    snprintf(path, sizeof path, "/proc/%s/stat", entries[i]->d_name);
    FILE *f = entries[i]->d_name[0] > '9' ? NULL : fopen(path, "re");
    if (!f) continue;
    if (fscanf(f, "%*d (%63[^)]) %c", comm, &state) == 2) {
      printf("%s %c %s\n", entries[i]->d_name, state, comm);
    }
    fclose(f);
  }
  return 0;
}

static int v_hostname(int argc, char **argv) {
  if (argc > 1 && sethostname(argv[1], strlen(argv[1])) < 0) return fail("sethostname");
  struct utsname u;
  uname(&u);
  printf("%s %s\n", u.nodename, u.domainname);
  return 0;
}

static int v_limits(int argc, char **argv) {
  (void)argc, (void)argv;
  struct rlimit n, p, c;
  getrlimit(RLIMIT_NOFILE, &n), getrlimit(RLIMIT_NPROC, &p), getrlimit(RLIMIT_CORE, &c);
  mode_t mask = umask(0);
  printf("nofile=%lld:%lld nproc=%lld core=%lld umask=%03o\n", (long long)n.rlim_cur,
         (long long)n.rlim_max, (long long)p.rlim_cur, (long long)c.rlim_cur, mask);
  return 0;
}

static void print_window(void) {
  struct winsize w = {0};
  ioctl(0, TIOCGWINSZ, &w);
  printf("tty=%d%d%d rows=%d columns=%d\n", isatty(0), isatty(1), isatty(2), w.ws_row, w.ws_col);
  fflush(stdout);
}
static int v_tty(int argc, char **argv) { (void)argc, (void)argv; print_window(); return 0; }

// ---- signals and time

static volatile sig_atomic_t got;
static void on_signal(int number) { got = number; }
static void catch_signal(int signal_number) {
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(signal_number, &action, NULL);
}

// sleep SECONDS: says so and ends with 0 at SIGTERM or SIGINT; SECONDS absent: for ever.
static int v_sleep(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 1e8;
  struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  catch_signal(SIGTERM), catch_signal(SIGINT);
  if (nanosleep(&t, NULL) < 0 && got) printf("got signal %d\n", got);
  return 0;
}

// stubborn: SIGTERM does nothing but a line.
static int v_stubborn(int argc, char **argv) {
  (void)argc, (void)argv;
  catch_signal(SIGTERM);
  do {
    printf("stubborn\n"), fflush(stdout);
  } while (pause() < 0);
  return 0;
}

// signals: a line for each signal; ends at SIGTERM. SIGWINCH prints the window.
static int v_signals(int argc, char **argv) {
  (void)argc, (void)argv;
  static const int caught[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH};
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) sigaddset(&set, caught[i]);
  sigprocmask(SIG_BLOCK, &set, NULL);
  printf("ready\n"), fflush(stdout);
  for (int signal_number = 0; signal_number != SIGTERM;) {
    if (sigwait(&set, &signal_number)) continue;
    if (signal_number == SIGWINCH) print_window();
    else printf("signal %d\n", signal_number), fflush(stdout);
  }
  return 0;
}

// lines COUNT [MS]: numbered lines with pauses, alternately on stdout and stderr where MS is
// negative.
static int v_lines(int argc, char **argv) {
  long count = number(argc, argv, 1, 10), ms = number(argc, argv, 2, 0);
  for (long i = 1; i <= count; i++) {
    dprintf(ms < 0 && i % 2 == 0 ? 2 : 1, "line %ld\n", i);
    pause_ms(labs(ms));
  }
  return 0;
}

// spam BYTES [out|err]: that many bytes of a known pattern, 64 a line.
static int v_spam(int argc, char **argv) {
  long left = number(argc, argv, 1, 1 << 20);
  int fd = argc > 2 && !strcmp(argv[2], "err") ? 2 : 1;
  char block[65536];
  for (size_t i = 0; i < sizeof block; i++) block[i] = i % 64 == 63 ? '\n' : (char)('0' + i % 64);
  while (left > 0) {
    ssize_t w = write(fd, block, left < (long)sizeof block ? (size_t)left : sizeof block);
    if (w < 0) return fail("write");
    left -= w;
  }
  return 0;
}

// eof: how much came on stdin until its end.
static int v_eof(int argc, char **argv) {
  (void)argc, (void)argv;
  char buffer[65536];
  long long total = 0;
  for (ssize_t n; (n = read(0, buffer, sizeof buffer)) > 0;) total += n;
  printf("eof after %lld bytes\n", total);
  return 0;
}

// ---- limits

// eat MIB: touches that much memory, then waits.
static int v_eat(int argc, char **argv) {
  long mib = number(argc, argv, 1, 64);
  for (long i = 0; i < mib; i++) {
    char *block = malloc(1 << 20);
    if (!block) return fail("malloc");
    memset(block, 1, 1 << 20);
  }
  printf("ate %ld MiB\n", mib);
  return 0;
}

// bomb COUNT: forks at most COUNT children that wait, and says how many there were.
static int v_bomb(int argc, char **argv) {
  long count = number(argc, argv, 1, 100), made = 0;
  pid_t child = 0;
  for (; made < count; made++) {
    if ((child = fork()) < 0) break;
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      pause();
      _exit(0);
    }
  }
  printf("forked %ld%s\n", made, made < count ? " until EAGAIN" : "");
  return 0;
}

// zombies COUNT: orphans that end at once; says how many zombies there are after a moment.
static int v_zombies(int argc, char **argv) {
  long count = number(argc, argv, 1, 5);
  for (long i = 0; i < count; i++) {
    pid_t parent = fork();
    if (parent == 0) _exit(fork() == 0 ? 0 : 0);
    waitpid(parent, NULL, 0);
  }
  pause_ms(number(argc, argv, 2, 300));
  return v_ps(argc, argv);
}

static int v_mount(int argc, char **argv) {
  if (argc < 3) return 2;
  return mount("none", argv[2], argv[1], 0, NULL) < 0 ? fail("mount") : v_echo(2, argv);
}
static int v_mknod(int argc, char **argv) {
  if (argc < 4) return 2;
  dev_t device = makedev(atoi(argv[2]), atoi(argv[3]));
  if (mknod(argv[1], S_IFCHR | 0600, device) < 0) return fail("mknod");
  int fd = open(argv[1], O_RDWR | O_CLOEXEC);
  return fd < 0 ? fail("open") : 0;
}
static int v_unshare(int argc, char **argv) {
  (void)argc, (void)argv;
  return unshare(CLONE_NEWUSER) < 0 ? fail("unshare") : 0;
}

// ---- network: addresses are numeric

// hold: brings the loopback interface up, says so, and lives as long as its standard input: the
// keeper of the namespaces that a test's daemon runs in.
static int v_hold(int argc, char **argv) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (s < 0 || ioctl(s, SIOCSIFFLAGS, &request) < 0) return fail("lo");
  close(s);
  printf("ready\n"), fflush(stdout);
  return v_eof(argc, argv);
}

// ---- several verbs in one process

// seq "VERB ARGUMENTS" …: one after the other, until one fails.
static int v_seq(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    char *words[32], *text = strdup(argv[i]), *save = NULL;
    int count = 0;
    for (char *w = strtok_r(text, " ", &save); w && count < 31; w = strtok_r(NULL, " ", &save)) {
      words[count++] = w;
    }
    words[count] = NULL;
    int code = count ? run_verb(count, words) : 0;
    fflush(stdout);
    if (code) return code;
  }
  return 0;
}

// flip A B: exchanges two names again and again, as fast as it can.
static int v_flip(int argc, char **argv) {
  if (argc < 3) return 2;
  puts("flipping");
  fflush(stdout);
  for (;;) {
    if (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE)) return fail(argv[1]);
  }
}

// fill FILE [MIB]: writes until it must stop; prints how many MiB, and why.
static int v_fill(int argc, char **argv) {
  static char block[1 << 20];
  if (argc < 2) return 2;
  int fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644), done = 0;
  if (fd < 0) return fail(argv[1]);
  memset(block, 'x', sizeof block);
  for (int most = argc > 2 ? atoi(argv[2]) : 1 << 20; done < most; done++) {
    ssize_t n = write(fd, block, sizeof block);
    if (n == (ssize_t)sizeof block) continue;
    if (n >= 0) n = write(fd, block, sizeof block);
    if (n >= 0) errno = EIO;
    break;
  }
  int error = errno;
  printf("%d %s\n", done, error == ENOSPC ? "ENOSPC" : error == EDQUOT ? "EDQUOT"
                                          : error == 0 ? "done" : strerror(error));
  return 0;
}

// ---- steps of a build

static int v_chmod(int argc, char **argv) {
  if (argc < 3) return 2;
  return chmod(argv[2], (mode_t)strtol(argv[1], NULL, 8)) < 0 ? fail(argv[2]) : 0;
}
static int v_chown(int argc, char **argv) {
  if (argc < 4) return 2;
  return chown(argv[3], (uid_t)atoi(argv[1]), (gid_t)atoi(argv[2])) < 0 ? fail(argv[3]) : 0;
}
static int pair(int argc, char **argv, int (*call)(const char *, const char *)) {
  return argc < 3 ? 2 : call(argv[1], argv[2]) < 0 ? fail(argv[2]) : 0;
}
static int v_symlink(int argc, char **argv) { return pair(argc, argv, symlink); }
static int v_link(int argc, char **argv) { return pair(argc, argv, link); }
static int v_rename(int argc, char **argv) { return pair(argc, argv, rename); }

static void record(FILE *to, const char *what, const char *text) {
  fprintf(to, "%s ", what);
  for (; *text; text++) {
    if (*text == '\n' || *text == '\\') fputc('\\', to);
    fputc(*text == '\n' ? 'n' : *text, to);
  }
  fputc('\n', to);
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

// Also called as "sh", though it is none: writes down what one gets, in /log or the folder in LOG.
static int v_record(int argc, char **argv) {
  const char *folder = getenv("LOG") ? getenv("LOG") : "/log";
  char path[4096];
  int fd = -1;
  for (int i = 1; i < 100 && fd < 0; i++) {
    snprintf(path, sizeof path, "%s/%d", folder, i);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST) return fail(path);
  }
  FILE *to = fdopen(fd, "w");
  if (!to) return fail(path);
  for (int i = 0; i < argc; i++) record(to, "arg", argv[i]);
  record(to, "cwd", getcwd(path, sizeof path) ? path : "?");
  gid_t groups[64];
  int n = getgroups(64, groups);
  fprintf(to, "ids %d %d", getuid(), getgid());
  for (int i = 0; i < n; i++) fprintf(to, " %d", groups[i]);
  fputc('\n', to);
  size_t count = 0;
  while (environ[count]) count++;
  qsort(environ, count, sizeof *environ, by_text);
  for (size_t i = 0; i < count; i++) record(to, "env", environ[i]);
  return fclose(to) < 0 ? fail("write") : 0;
}

// ash [LINE …]: each line is a verb with its arguments; without any they are read from a person
// until "exit [CODE]". It is no verb with a file of its own: a test that wants a shell links it.
static int v_ash(int argc, char **argv) {
  if (argc > 1) return v_seq(argc, argv);
  static char line[4096];
  for (;;) {
    fputs("ash> ", stdout), fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 0;
    line[strcspn(line, "\r\n")] = 0;
    int code = 0;
    if (!strcmp(line, "exit") || sscanf(line, "exit %d", &code) == 1) return code;
    char *words[] = {argv[0], line, NULL};
    v_seq(2, words);
  }
}

// trouble KIND: what a step should not do.
static int v_trouble(int argc, char **argv) {
  const char *kind = argc > 1 ? argv[1] : "";
  if (!strcmp(kind, "orphan")) {  // leaves a process with its output behind
    if (fork() > 0) return puts("left one") < 0;
    signal(SIGTERM, SIG_IGN), signal(SIGHUP, SIG_IGN), setsid();
    for (;;) pause();
  }
  if (!strcmp(kind, "mute")) {  // goes on without an output
    close(0), close(1), close(2);
    pause_ms(200);
    return put_file(3, (char *[]){"", "/mute", "done", NULL}, O_TRUNC);
  }
  int binary = !strcmp(kind, "binary");
  if (binary || !strcmp(kind, "line")) {  // one long line, no end
    for (long i = number(argc, argv, 2, 4096); i > 0; i--) putchar(binary ? i & 0xff : 'x');
    return 0;
  }
  if (!strcmp(kind, "crash")) __builtin_trap();
  if (!strcmp(kind, "init")) {  // a child ends pid 1, which a signal from inside cannot
    if (fork() == 0) return kill(1, SIGKILL) < 0 ? fail("kill") : 0;
    return wait(NULL) < 0 || puts("still here") < 0;
  }
  if (!strcmp(kind, "forks")) {  // without end, deaf to everything
    sigset_t all;
    sigfillset(&all), sigprocmask(SIG_BLOCK, &all, NULL);
    puts("forking"), fflush(stdout);
    for (;;) fork() < 0 ? pause_ms(1) : (void)0;
  }
  return 2;
}

static const struct {
  const char *name;
  verb_function *run;
} verbs[] = {
    {"true", v_true},       {"false", v_false},       {"exit", v_exit},       {"echo", v_echo},
    {"err", v_err},         {"cat", v_cat},           {"env", v_env},         {"pwd", v_pwd},
    {"write", v_write},     {"append", v_append},     {"mkdir", v_mkdir},     {"rm", v_rm},
    {"ls", v_ls},           {"stat", v_stat},         {"id", v_id},           {"status", v_status},
    {"ns", v_ns},           {"pid", v_pid},           {"ps", v_ps},           {"tty", v_tty},
    {"sleep", v_sleep},     {"stubborn", v_stubborn}, {"signals", v_signals}, {"lines", v_lines},
    {"spam", v_spam},       {"eof", v_eof},           {"eat", v_eat},         {"bomb", v_bomb},
    {"zombies", v_zombies}, {"mount", v_mount},       {"mknod", v_mknod},     {"seq", v_seq},
    {"unshare", v_unshare}, {"listen", v_listen},     {"connect", v_connect}, {"limits", v_limits},
    {"hostname", v_hostname}, {"hold", v_hold}, {"resolve", v_resolve},
    {"names", v_names},     {"flip", v_flip},         {"fill", v_fill},
    {"chmod", v_chmod},     {"chown", v_chown},       {"symlink", v_symlink}, {"link", v_link},
    {"rename", v_rename},   {"record", v_record}, {"unix", v_unix},
    {"datagrams", v_datagrams}, {"trouble", v_trouble},
    {"sched", v_sched},     {"ioprio", v_ioprio},     {"mempolicy", v_mempolicy},
    {"personality", v_personality}, {"call", v_call}, {"threadcall", v_threadcall},
    {"trapcall", v_trapcall}, {"tracecall", v_tracecall}, {"filter", v_filter},
    {"agent", v_agent},     {"signalcall", v_signalcall}, {"notify", v_notify},
    {"manager", v_manager},
    {"handed", v_handed},   {"orphan", v_orphan},
};
#define VERB_COUNT (sizeof verbs / sizeof *verbs)

static int run_verb(int argc, char **argv) {
  const char *name = strrchr(argv[0], '/');
  name = name ? name + 1 : argv[0];
  int bare = !strncmp(name, "payload", 7);  // "payload-1f3a" in the cache of the harness
  if (bare && argc > 1) return run_verb(argc - 1, argv + 1);
  for (size_t i = 0; i < VERB_COUNT; i++) {
    if (!strcmp(verbs[i].name, name)) return verbs[i].run(argc, argv);
  }
  if (!strcmp(name, "sh")) return v_record(argc, argv);
  if (!strcmp(name, "ash")) return v_ash(argc, argv);
  if (bare) {  // alone: the names, from which the harness makes /bin
    for (size_t i = 0; i < VERB_COUNT; i++) puts(verbs[i].name);
    return 0;
  }
  fprintf(stderr, "payload: no verb %s\n", name);
  return 127;
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, isatty(1) ? _IOLBF : _IOFBF, 0);
  return run_verb(argc, argv);
}
