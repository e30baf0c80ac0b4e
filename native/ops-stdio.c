// Standard streams, and the ways in which an operation hands something back: pty, pipes, memfd,
// reports, and the connection to the daemon's stream socket.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"

// A pty of a real devpts: 5:2 is the multiplexor, whatever file system its node lives on.
static int assert_ptmx(struct run *r, int fd) {
  struct stat st;
  if (fstat(fd, &st)) return -errno;
  if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2)) return 0;
  return run_fail(r, -ENODEV, "/dev/ptmx is not the pty multiplexor");
}

int op_pty(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  int master = run_open(r, &f[A_PTY_ROOT], f[A_PTY_PATH].ptr, O_RDWR | O_NOCTTY, 0);
  if (master < 0) return master;
  int error = assert_ptmx(r, master), unlock = 0, slave = -1;
  if (!error && ioctl(master, TIOCSPTLCK, &unlock)) error = -errno;
  // The slave through the master itself: no path that could be swapped (CVE-2025-52565).
  if (!error && (slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
    error = -errno;
  struct winsize size = {.ws_row = (unsigned short)f[A_PTY_ROWS].num,
                         .ws_col = (unsigned short)f[A_PTY_COLUMNS].num};
  if (!error && (size.ws_row || size.ws_col) && ioctl(master, TIOCSWINSZ, &size)) error = -errno;
  uid_t uid = (uid_t)f[A_PTY_UID].num;
  gid_t gid = (gid_t)f[A_PTY_GID].num;
  if (!error && (uid || gid) && fchown(slave, uid, gid ? gid : (gid_t)-1)) error = -errno;
  if (error) {
    close(master);
    if (slave >= 0) close(slave);
    return error;
  }
  run_store(r, &f[A_PTY_MASTER], master);
  return run_store(r, &f[A_PTY_SLAVE], slave);
}

int op_pipe(struct run *r, const struct op *o) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) return -errno;
  run_store(r, &o->fields[A_PIPE_READ], ends[0]);
  return run_store(r, &o->fields[A_PIPE_WRITE], ends[1]);
}

int op_dup2(struct run *r, const struct op *o) {
  int from = run_fd(r, &o->fields[A_DUP2_SLOT]);
  int to = (int)o->fields[A_DUP2_FD].num;
  if (from < 0 || to < 0) return -EBADF;
  if (to == executor.peer) {
    // The target is the socket between the halves: move that out of the way first.
    int moved = fcntl(executor.peer, F_DUPFD_CLOEXEC, 64);
    if (moved < 0) return -errno;
    executor.peer = moved;
  }
  // A target that another slot holds: that slot moves too.
  for (int i = 0; i < SLOTS; i++) {
    if (!run_slot_is_fd(i) || r->slot[i] != to || from == to) continue;
    int moved = fcntl(to, F_DUPFD_CLOEXEC, 64);
    if (moved < 0) return -errno;
    r->slot[i] = moved;
  }
  if (from == to) return fcntl(to, F_SETFD, 0) ? -errno : 0;
  return dup2(from, to) < 0 ? -errno : 0;
}

int op_controlling_tty(struct run *r, const struct op *o) {
  int fd = run_fd(r, &o->fields[A_CONTROLLING_TTY_SLOT]);
  if (fd < 0) return -EBADF;
  return ioctl(fd, TIOCSCTTY, 0) ? -errno : 0;
}

int op_report(struct run *r, const struct op *o) {
  int64_t slot = o->fields[A_REPORT_SLOT].num;
  if (slot < 0) return -EBADF;
  return run_result(r, &r->slot[slot], sizeof r->slot[slot]);
}

int op_report_inode(struct run *r, const struct op *o) {
  int fd = run_fd(r, &o->fields[A_REPORT_INODE_SLOT]);
  struct stat st;
  if (fd < 0) return -EBADF;
  if (fstat(fd, &st)) return -errno;
  int64_t values[2] = {(int64_t)st.st_dev, (int64_t)st.st_ino};
  return run_result(r, values, sizeof values);
}

int op_memfd(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  int fd = memfd_create(f[A_MEMFD_NAME].ptr, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  int error = write_fully(fd, f[A_MEMFD_DATA].ptr, f[A_MEMFD_DATA].len);
  if (!error && lseek(fd, 0, SEEK_SET) < 0) error = -errno;
  if (error) {
    close(fd);
    return error;
  }
  return run_store(r, &f[A_MEMFD_TO], fd);
}

int op_connect(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_CONNECT_PATH].ptr;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (f[A_CONNECT_PATH].len >= sizeof address.sun_path)
    return run_fail(r, -ENAMETOOLONG, "%s", path);
  memcpy(address.sun_path, path, f[A_CONNECT_PATH].len + 1);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int error = connect(fd, (struct sockaddr *)&address, sizeof address) ? -errno : 0;
  if (!error) error = write_fully(fd, f[A_CONNECT_TOKEN].ptr, f[A_CONNECT_TOKEN].len);
  if (error) {
    close(fd);
    return run_fail(r, error, "%s", path);
  }
  return run_store(r, &f[A_CONNECT_TO], fd);
}

int op_take_fd(struct run *r, const struct op *o) {
  int fd = fcntl((int)o->fields[A_TAKE_FD_FD].num, F_DUPFD_CLOEXEC, 3 + preserved_descriptors);
  return fd < 0 ? -errno : run_store(r, &o->fields[A_TAKE_FD_TO], fd);
}
