// The payload for networks: it listens, connects, asks the resolver and speaks to unix sockets.
#define _GNU_SOURCE
#include "payload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

static int make_socket(const char *host, int port, int type, struct sockaddr_storage *to,
                       socklen_t *length) {
  struct sockaddr_in *four = (void *)to;
  struct sockaddr_in6 *six = (void *)to;
  memset(to, 0, sizeof *to);
  if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
    four->sin_family = AF_INET, four->sin_port = htons(port), *length = sizeof *four;
  } else if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6, six->sin6_port = htons(port), *length = sizeof *six;
  } else {
    errno = EINVAL;
    return -1;
  }
  return socket(to->ss_family, type | SOCK_CLOEXEC, 0);
}

static void print_peer(char *text, size_t size, struct sockaddr_storage *peer) {
  char address[64] = "";
  struct sockaddr_in *four = (void *)peer;
  struct sockaddr_in6 *six = (void *)peer;
  const void *raw = peer->ss_family == AF_INET ? (void *)&four->sin_addr : (void *)&six->sin6_addr;
  inet_ntop(peer->ss_family, raw, address, sizeof address);
  struct utsname u;
  uname(&u);
  snprintf(text, size, "hello from %s to %s\n", u.nodename, address);
}

// listen tcp|udp PORT [ADDRESS]: greets every client by its address, then echoes one message.
int v_listen(int argc, char **argv) {
  if (argc < 3) return 2;
  int tcp = !strcmp(argv[1], "tcp");
  struct sockaddr_storage address, peer;
  socklen_t length, size;
  int s = make_socket(argc > 3 ? argv[3] : "0.0.0.0", atoi(argv[2]), tcp ? SOCK_STREAM : SOCK_DGRAM,
                      &address, &length);
  if (s < 0) return fail("socket");
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
  if (bind(s, (void *)&address, length) < 0) return fail("bind");
  if (tcp && listen(s, 128) < 0) return fail("listen");
  printf("listening\n"), fflush(stdout);
  for (char text[2048];;) {
    size = sizeof peer;
    if (!tcp) {
      if (recvfrom(s, text, sizeof text, 0, (void *)&peer, &size) < 0) return fail("recvfrom");
      print_peer(text, sizeof text, &peer);
      sendto(s, text, strlen(text), 0, (void *)&peer, size);
      continue;
    }
    int client = accept4(s, (void *)&peer, &size, SOCK_CLOEXEC);
    if (client < 0) return fail("accept");
    print_peer(text, sizeof text, &peer);
    if (write(client, text, strlen(text)) < 0) perror("write");
    shutdown(client, SHUT_WR);
    while (read(client, text, sizeof text) > 0) {
    }
    close(client);
  }
}

// Asks the first server of /etc/resolv.conf over UDP; an address a line in `found`. Returns an exit
// code: 0, or 1 with the reason on standard error.
static int ask_name(const char *name, int type, char *found, size_t size) {
  char text[4096] = "", server[64] = "";
  FILE *file = fopen("/etc/resolv.conf", "re");
  while (file && fgets(text, sizeof text, file) && sscanf(text, "nameserver %63s", server) != 1) {
  }
  if (file) fclose(file);
  struct sockaddr_storage address;
  socklen_t length;
  int s = make_socket(server, 53, SOCK_DGRAM, &address, &length);
  struct timeval deadline = {5, 0};
  if (s < 0 || connect(s, (void *)&address, length) < 0) return fail(server);
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
  unsigned char query[512] = {7, 7, 1, 0, 0, 1}, *at = query + 12;
  for (const char *rest = name; *rest;) {
    size_t label = strcspn(rest, ".");
    *at++ = (unsigned char)label;
    memcpy(at, rest, label);
    at += label, rest += label;
    if (*rest == '.') rest++;
  }
  at[2] = (unsigned char)type, at[4] = 1;
  at += 5;
  unsigned char answer[2048];
  if (send(s, query, at - query, 0) < 0) return fail("send");
  ssize_t n = recv(s, answer, sizeof answer, 0);
  close(s);
  if (n < 12) return fail("no answer");
  if (answer[3] & 15) return fprintf(stderr, "%s: rcode %d\n", name, answer[3] & 15), 1;
  unsigned char *r = answer + (at - query);
  found[0] = 0;
  for (int left = answer[7]; left > 0 && r + 12 <= answer + n; left--) {
    char one[64] = "";
    if (r[3] == type) inet_ntop(type == 1 ? AF_INET : AF_INET6, r + 12, one, sizeof one);
    snprintf(found + strlen(found), size - strlen(found), "%s\n", one);
    r += 12 + r[11];
  }
  return 0;
}

// resolve NAME [6]: the addresses of a name.
int v_resolve(int argc, char **argv) {
  char found[2048];
  int code = argc < 2 ? 2 : ask_name(argv[1], argc > 2 ? 28 : 1, found, sizeof found);
  if (code == 0) fputs(found, stdout);
  return code;
}

// names NAME …: each with its addresses, a line each; "-" for those that nobody has.
int v_names(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    char found[2048] = "";
    int code = ask_name(argv[i], 1, found, sizeof found);
    for (char *c = found; *c; c++) *c = *c == '\n' ? ' ' : *c;
    printf("%s %s\n", argv[i], code == 0 && found[0] ? found : "-");
  }
  return 0;
}

// connect tcp|udp ADDRESS PORT [PATIENCE-MS]: prints what the other side says.
int v_connect(int argc, char **argv) {
  if (argc < 4) return 2;
  int tcp = !strcmp(argv[1], "tcp");
  struct sockaddr_storage address;
  socklen_t length;
  int s = make_socket(argv[2], atoi(argv[3]), tcp ? SOCK_STREAM : SOCK_DGRAM, &address, &length);
  long patience = argc > 4 ? atol(argv[4]) : 5000;
  struct timeval deadline = {patience / 1000, patience % 1000 * 1000};
  if (s < 0) return fail("socket");
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
  setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
  if (connect(s, (void *)&address, length) < 0) return fail("connect");
  if (tcp) return copy_to_stdout(s);
  char text[2048];
  if (send(s, "?", 1, 0) < 0) return fail("send");
  ssize_t n = recv(s, text, sizeof text, 0);
  return n < 0 ? fail("recv") : (int)(fwrite(text, 1, n, stdout) != (size_t)n);
}

static void print_hex(const char *kind, const unsigned char *bytes, size_t length) {
  printf("%s ", kind);
  for (size_t at = 0; at < length; at++) printf("%02x", bytes[at]);
  printf("\n"), fflush(stdout);
}

// What "hex:0a0b" stands for; the answer is printed in hex, too.
static int exchange_bytes(int fd, const char *hex) {
  unsigned char bytes[4096];
  for (; sscanf(hex, "%2hhx", bytes) == 1; hex += 2) {
    if (write(fd, bytes, 1) != 1) return fail("write");
  }
  shutdown(fd, SHUT_WR);
  size_t length = 0;
  ssize_t count;
  while ((count = read(fd, bytes + length, sizeof bytes - length)) > 0) length += count;
  print_hex("answer", bytes, length);
  return count < 0 ? fail("read") : 0;
}

// Sends a line to a unix socket and prints the answer.
int v_unix(int argc, char **argv) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  if (argc < 3 || strlen(argv[1]) >= sizeof to.sun_path) return 2;
  strcpy(to.sun_path, argv[1]);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) return fail(argv[1]);
  if (!strncmp(argv[2], "hex:", 4)) return exchange_bytes(fd, argv[2] + 4);
  if (dprintf(fd, "%s\n", argv[2]) < 0) return fail("write");
  shutdown(fd, SHUT_WR);
  return copy_to_stdout(fd);
}

// datagrams PATH: prints what a unix datagram socket receives, in hex; of a memory file, what is in
// it. A line on standard input lets the next datagram in where a third argument says "slowly".
int v_datagrams(int argc, char **argv) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  if (argc < 2 || strlen(argv[1]) >= sizeof at.sun_path) return 2;
  strcpy(at.sun_path, argv[1]);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0) return fail(argv[1]);
  printf("listening\n"), fflush(stdout);
  static unsigned char bytes[1 << 20];
  for (;;) {
    char line[16];
    if (argc > 2 && !fgets(line, sizeof line, stdin)) return 0;
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (n < 0) return fail("recvmsg");
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header) {
      print_hex("datagram", bytes, (size_t)n);
      continue;
    }
    int file;
    memcpy(&file, CMSG_DATA(header), sizeof file);
    struct stat st;
    if (fstat(file, &st) < 0) return fail("fstat");
    unsigned char *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (map == MAP_FAILED) return fail("mmap");
    print_hex("file", map, (size_t)st.st_size);
    munmap(map, (size_t)st.st_size);
    close(file);
  }
}
