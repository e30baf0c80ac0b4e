// The resolver, `gantry-native resolver SOCKET [IDLE_MS]`: the name server on 127.0.0.11 of every
// container that has a network of the user's. It answers names of the container's own networks from
// tables that the daemon pushes, and asks the container's servers for the rest. It outlives the
// daemon and ends when it serves nobody and nobody has been connected for IDLE_MS.
//
// SOCKET speaks lines of text (resident.c):
//   ID open KEY [PID]               with descriptors: UDP and TCP listener, sockets to ask with;
//                                   it closes with the process
//   ID sandbox KEY ZONES SERVERS LINKS
//                                   zones: ids by commas, first wins; servers: IP[@host]; links:
//                                   ALIAS=NAME, for this sandbox alone; "-": none
//   ID close KEY
//   ID set ZONE NAME IPS            "-" removes the name
//   ID pointer ZONE IP NAME         "-" removes the address
//   ID drop ZONE                    the zone with all it says
//   ID mark, ID sweep               what was not set since the mark goes
//   ID list                         `ID item sandbox KEY open|waiting`, `ID item zone ZONE`
//   ID stop
#define _GNU_SOURCE
#include "resolver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE_BYTES_MAX (12 << 10)
#define IDLE_MS_DEFAULT 10000
#define QUESTIONS_PER_TURN 64

static struct sandbox *sandboxes;

static struct sandbox *sandbox_find(const char *key) {
  struct sandbox *s = sandboxes;
  while (s && strcmp(s->key, key) != 0) s = s->next;
  return s;
}

static void udp_run(struct handler *self, uint32_t events);
static void ended_run(struct handler *self, uint32_t events);

static struct sandbox *sandbox_of(const char *key) {
  struct sandbox *s = strlen(key) < KEY_BYTES_MAX ? sandbox_find(key) : NULL;
  if (s || strlen(key) >= KEY_BYTES_MAX || !(s = calloc(1, sizeof *s))) return s;
  s->udp.run = udp_run;
  s->tcp.run = tcp_accept_run;
  s->ended.run = ended_run;
  strcpy(s->key, key);
  s->udp_fd = s->tcp_fd = s->process_fd = -1;
  s->next = sandboxes;
  sandboxes = s;
  return s;
}

// Lets its sockets go, and with them the namespace; the configuration stays.
static void sandbox_shut(struct sandbox *s) {
  tcp_forget(s);
  forward_forget(s, NULL);
  if (s->udp_fd >= 0) close(s->udp_fd);
  if (s->tcp_fd >= 0) close(s->tcp_fd);
  if (s->process_fd >= 0) close(s->process_fd);
  s->udp_fd = s->tcp_fd = s->process_fd = -1;
  for (int i = 0; i < s->upstream_count; i++) upstream_end(s->upstreams[i]);
  for (int i = 0; i < s->tcp_upstream_count; i++)
    if (s->tcp_upstreams[i] >= 0) close(s->tcp_upstreams[i]);
  s->upstream_count = s->tcp_upstream_count = 0;
}

static void sandbox_forget_names(struct sandbox *s) {
  while (s->zone_count > 0) zone_leave(s->zones[--s->zone_count]);
  free(s->links);
  s->links = NULL;
}

static int sandbox_close(const char *key) {
  for (struct sandbox **at = &sandboxes; *at; at = &(*at)->next) {
    struct sandbox *s = *at;
    if (strcmp(s->key, key) != 0) continue;
    *at = s->next;
    sandbox_shut(s);
    sandbox_forget_names(s);
    s->closed = true;
    defer_free(&s->udp);
    return 1;
  }
  return 0;
}

static void ended_run(struct handler *self, uint32_t events) {
  struct sandbox *s = (struct sandbox *)((char *)self - offsetof(struct sandbox, ended));
  (void)events;
  if (!s->closed && s->process_fd >= 0) sandbox_close(s->key);
}

static int follow(struct sandbox *s, const char *pid) {
  s->process_fd = (int)syscall(SYS_pidfd_open, atoi(pid), 0);
  if (s->process_fd < 0) return errno == ENOSYS ? 0 : -errno;
  return watch(s->process_fd, &s->ended, EPOLLIN) == 0 ? 0 : -errno;
}

static int socket_type(int fd) {
  int type = 0;
  socklen_t length = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 ? -errno : type;
}

static int sandbox_open(struct client *c, const char *key, const char *pid) {
  int fds[CLIENT_FDS_MAX];
  int count = client_take_fds(c, fds, CLIENT_FDS_MAX);
  struct sandbox *s = count >= 2 ? sandbox_of(key) : NULL;
  if (s) sandbox_shut(s);
  if (!s || socket_type(fds[0]) != SOCK_DGRAM || socket_type(fds[1]) != SOCK_STREAM) {
    for (int i = 0; i < count; i++) close(fds[i]);
    return s || count < 2 ? -EINVAL : -ENOMEM;
  }
  s->udp_fd = fds[0];
  s->tcp_fd = fds[1];
  for (int i = 2; i < count; i++) {
    int type = socket_type(fds[i]);
    if (type == SOCK_STREAM && s->tcp_upstream_count < UPSTREAMS_MAX) {
      s->tcp_upstreams[s->tcp_upstream_count++] = fds[i];
      continue;
    }
    struct upstream *u =
        type == SOCK_DGRAM && s->upstream_count < UPSTREAMS_MAX ? upstream_new(fds[i]) : NULL;
    if (u)
      s->upstreams[s->upstream_count++] = u;
    else
      close(fds[i]);
  }
  int error = watch(s->udp_fd, &s->udp, EPOLLIN) || watch(s->tcp_fd, &s->tcp, EPOLLIN) ? -errno : 0;
  if (!error && pid) error = follow(s, pid);
  if (error) sandbox_shut(s);
  return error ? error : 1;
}

static int parse_servers(struct server *servers, char *text) {
  int count = 0;
  if (strcmp(text, "-") == 0) return 0;
  for (char *one; (one = strsep(&text, ","));) {
    if (count == SERVERS_MAX) return -E2BIG;
    char *where = strchr(one, '@');
    if (where) *where++ = 0;
    if (where && strcmp(where, "host") != 0) return -EINVAL;
    if (parse_address(one, "53", &servers[count].address) < 0) return -EINVAL;
    if (servers[count].address.any.sa_family == AF_UNSPEC) return -EINVAL;
    servers[count++].host = where != NULL;
  }
  return count;
}

// "alias=name,…" as pairs of strings with an empty one behind them. NULL when memory is short or
// the text is none of the kind; `text` is used up.
static char *parse_links(char *text) {
  char *links = calloc(1, strlen(text) + 2), *out = links;
  if (!links || strcmp(text, "-") == 0) return links;
  for (char *one; (one = strsep(&text, ","));) {
    char *name = strchr(one, '=');
    if (!name || name == one || name[1] == 0) {
      free(links);
      return NULL;
    }
    *name++ = 0;
    out = stpcpy(out, one) + 1;
    out = stpcpy(out, name) + 1;
  }
  return links;
}

// Answers that came through a container's own network namespace are for it alone: what runs in
// there with CAP_NET_RAW may have forged them. Those that the host was given may be shared.
static uint64_t scope_of(const struct sandbox *s, const char *zones, const char *servers) {
  bool host = s->server_count > 0;
  for (int i = 0; i < s->server_count; i++) host = host && s->servers[i].host;
  uint64_t seed = host ? 1 : hash_bytes(2, s->key, strlen(s->key));
  return hash_bytes(hash_bytes(seed, zones, strlen(zones)), servers, strlen(servers));
}

static int sandbox_configure(const char *key, char *zones, char *text, char *link_text) {
  char said_zones[LINE_BYTES_MAX], said[LINE_BYTES_MAX];
  struct server servers[SERVERS_MAX] = {0};
  strcpy(said_zones, zones);
  strcpy(said, text);
  int count = parse_servers(servers, text);
  if (count < 0) return count;
  struct sandbox *s = sandbox_of(key);
  char *links = s ? parse_links(link_text) : NULL;
  if (!links) return s ? -EINVAL : -ENOMEM;
  struct zone *before[ZONES_MAX];
  int before_count = s->zone_count, error = 0;
  memcpy(before, s->zones, sizeof before);
  s->zone_count = 0;
  if (strcmp(zones, "-") == 0) zones = NULL;
  for (char *one; !error && (one = strsep(&zones, ","));) {
    struct zone *zone = s->zone_count < ZONES_MAX ? zone_take(one) : NULL;
    if (zone)
      s->zones[s->zone_count++] = zone;
    else
      error = s->zone_count == ZONES_MAX ? -E2BIG : -EINVAL;
  }
  // Only now, so that a zone without records that is searched before and after lives on.
  for (int i = 0; i < before_count; i++) zone_leave(before[i]);
  free(s->links);
  s->links = links;
  memcpy(s->servers, servers, sizeof servers);
  s->server_count = count;
  s->scope = scope_of(s, said_zones, said);
  return error ? error : s->zone_count;
}

static const char *follow_link(const struct sandbox *s, const char *name) {
  for (const char *at = s->links; at && *at;) {
    const char *target = at + strlen(at) + 1;
    if (strcmp(at, name) == 0) return target;
    at = target + strlen(target) + 1;
  }
  return name;
}

static bool is_localhost(const char *name) {
  size_t length = strlen(name), own = strlen("localhost");
  return length >= own && strcmp(name + length - own, "localhost") == 0 &&
         (length == own || name[length - own - 1] == '.');
}

static struct record *lookup(const struct sandbox *s, const struct question *q) {
  static struct ip loopback[] = {{4, {127, 0, 0, 1}}, {6, {[15] = 1}}};
  static struct record localhost = {.count = 2, .ips = loopback};
  struct ip ip;
  bool reverse = q->type == TYPE_PTR && reverse_address(q->name, &ip);
  const char *name = follow_link(s, q->name);
  const void *key = reverse ? (const void *)&ip : name;
  size_t length = reverse ? sizeof ip : strlen(name);
  for (int i = 0; i < s->zone_count; i++) {
    struct record *r = zone_lookup(s->zones[i], reverse, key, length);
    if (r) return r;
  }
  // RFC 6761: nobody else is asked for it.
  return !reverse && is_localhost(q->name) ? &localhost : NULL;
}

void reply(const struct asker *asker, const struct question *q, uint8_t *message, size_t length) {
  if (asker->connection) {
    tcp_reply(asker->connection, message, length);
    return;
  }
  uint8_t cut[512];
  if (length > q->udp_bytes && q->end + 11 <= sizeof cut) {
    length = answer_empty(message, q, message[3] & 0xf, cut);
    cut[2] |= 0x02;
    message = cut;
  }
  sendto(asker->sandbox->udp_fd, message, length, MSG_DONTWAIT | MSG_NOSIGNAL, &asker->from.any,
         address_length(&asker->from));
}

void resolve(const struct asker *asker, const uint8_t *message, size_t length) {
  static uint8_t out[MESSAGE_BYTES_MAX];
  struct sandbox *s = asker->sandbox;
  struct question q;
  int rcode = question_parse(message, length, &q);
  if (rcode < 0) return;
  struct record *r = rcode == 0 && q.class == CLASS_IN ? lookup(s, &q) : NULL;
  if (rcode == 0 && !r) {
    size_t kept = cache_find(s->scope, message, &q, out);
    if (kept > 0) {
      reply(asker, &q, out, kept);
      return;
    }
    if (s->server_count > 0 && asker->connection) {
      tcp_forward(asker, message, length, 0);
      return;
    }
    if (s->server_count > 0) {
      forward(asker, &q, message, length);
      return;
    }
    // Nobody to ask: a plain name is known not to exist, of others nobody knows.
    rcode = strchr(q.name, '.') ? SERVFAIL : NXDOMAIN;
  }
  size_t limit = asker->connection            ? MESSAGE_BYTES_MAX
                 : q.udp_bytes < UDP_PAYLOAD_BYTES ? q.udp_bytes
                                                   : UDP_PAYLOAD_BYTES;
  size_t done = r ? answer_record(message, &q, r, limit, out)
                  : answer_empty(message, &q, rcode, out);
  reply(asker, &q, out, done);
}

static void udp_run(struct handler *self, uint32_t events) {
  static uint8_t message[4096];
  struct sandbox *s = (struct sandbox *)self;
  (void)events;
  for (int turn = 0; turn < QUESTIONS_PER_TURN && s->udp_fd >= 0; turn++) {
    struct asker asker = {.sandbox = s};
    socklen_t size = sizeof asker.from;
    ssize_t n = recvfrom(s->udp_fd, message, sizeof message, MSG_DONTWAIT, &asker.from.any, &size);
    if (n < 0) return;
    resolve(&asker, message, (size_t)n);
  }
}

static int list(struct client *c, const char *id) {
  int count = 0;
  for (struct sandbox *s = sandboxes; s; s = s->next, count++)
    answer(c, "%s item sandbox %s %s\n", id, s->key, s->udp_fd >= 0 ? "open" : "waiting");
  return count + zone_list(c, id);
}

static int handle(struct client *c, const char *id, char **words, int count) {
  const char *verb = words[0];
  if (strcmp(verb, "open") == 0 && (count == 2 || count == 3))
    return sandbox_open(c, words[1], count == 3 ? words[2] : NULL);
  if (strcmp(verb, "sandbox") == 0 && count == 5)
    return sandbox_configure(words[1], words[2], words[3], words[4]);
  if (strcmp(verb, "close") == 0 && count == 2) return sandbox_close(words[1]);
  if (strcmp(verb, "set") == 0 && count == 4) return zone_set(words[1], words[2], words[3]);
  if (strcmp(verb, "pointer") == 0 && count == 4) return zone_pointer(words[1], words[2], words[3]);
  if (strcmp(verb, "drop") == 0 && count == 2) return zone_drop(words[1]);
  if (strcmp(verb, "mark") == 0 && count == 1) return zone_mark();
  if (strcmp(verb, "sweep") == 0 && count == 1) return zone_sweep();
  if (strcmp(verb, "list") == 0 && count == 1) return list(c, id);
  if (strcmp(verb, "stop") != 0) return -EINVAL;
  resident_stop();
  return 0;
}

static int turn(void) {
  int udp = forward_expire(), tcp = tcp_expire();
  return udp < 0 ? tcp : tcp < 0 || udp < tcp ? udp : tcp;
}

static bool holds(void) { return sandboxes != NULL; }

int resolver_main(int argc, char **argv) {
  static const struct service service = {
      .title = "gantry-resolver",
      .greeting = "gantry-resolver 2",
      .line_bytes_max = LINE_BYTES_MAX,
      .line = handle,
      .start = forward_start,
      .turn = turn,
      .holds = holds,
  };
  if (argc < 2) {
    fprintf(stderr, "usage: gantry-native resolver SOCKET [IDLE_MS]\n");
    return 2;
  }
  return resident_main(&service, argv[1], argc > 2 ? atoi(argv[2]) : IDLE_MS_DEFAULT);
}
