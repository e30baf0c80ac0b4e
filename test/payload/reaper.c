// The reaper that testcontainers starts beside its containers, as far as the tests need one: what
// Ryuk's protocol asks, from a static program of our own, as Ryuk's Go module is not always to be
// had (GANTRY_TEST_RYUK names a real one). A client connects to port 8080 and sends filters, a line
// each, that are answered with ACK; once all have been gone for RYUK_RECONNECTION_TIMEOUT, whatever
// has such a label is removed through the mounted socket. Called as "web" it answers HTTP instead.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FILTERS_MAX 64
#define CLIENTS_MAX 64

static char filters[FILTERS_MAX][512];
static int filter_count;
static char answer[4 << 20];
static char version[16];  // "/v1.51", as the daemon's ping says; nothing before

static int serve(int port) {
  int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
  if (bind(s, (void *)&at, sizeof at) < 0 || listen(s, 64) < 0) exit((perror("listen"), 1));
  printf("Started on port %d\n", port), fflush(stdout);
  return s;
}

// One request of the API; the answer, with its head, is in `answer`. HTTP/1.0: nothing is chunked.
static void ask(const char *method, const char *path) {
  struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/var/run/docker.sock"};
  int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  size_t have = 0;
  ssize_t n;
  answer[0] = 0;
  if (connect(s, (void *)&at, sizeof at) < 0) exit((perror("docker.sock"), 1));
  dprintf(s, "%s %s%s HTTP/1.0\r\nHost: docker\r\n\r\n", method, version, path);
  while (have + 1 < sizeof answer && (n = read(s, answer + have, sizeof answer - have - 1)) > 0) {
    have += n;
  }
  answer[have] = 0;
  close(s);
}

// As docker's Go client does it: the newest version that the daemon has, for all that follows.
static void negotiate(void) {
  ask("GET", "/_ping");
  char *head = strcasestr(answer, "\r\napi-version: ");
  if (!head) exit((fprintf(stderr, "no Api-Version: %.200s\n", answer), 1));
  snprintf(version, sizeof version, "/v%.*s", (int)strspn(head + 15, "0123456789."), head + 15);
}

static void escape(char *to, const char *text) {
  for (; *text; text++) to += sprintf(to, "%%%02X", (unsigned char)*text);
}

// Removes each of what `list` finds under `label`, named by the first `key` of its description.
static void remove_all(const char *list, const char *key, const char *path, const char *how,
                       const char *label) {
  char query[4096], escaped[2048], filter[1024], self[64] = "";
  gethostname(self, sizeof self - 1);
  snprintf(filter, sizeof filter, "{\"label\":{\"%s\":true}}", label);
  escape(escaped, filter);
  snprintf(query, sizeof query, "%s%cfilters=%s", list, strchr(list, '?') ? '&' : '?', escaped);
  ask("GET", query);
  char *names[256], *copy = strdup(answer);
  int count = 0;
  for (char *at = copy; count < 256 && (at = strstr(at, key));) {
    char *name = at + strlen(key), *end = strchr(name, '"');
    if (!end) break;
    *end = 0, at = end + 1, names[count++] = name;
  }
  for (int i = 0; i < count; i++) {
    if (self[0] && !strncmp(names[i], self, strlen(self))) continue;  // it ends by itself
    snprintf(query, sizeof query, "%s/%s%s", path, names[i], how);
    ask("DELETE", query);
    printf("removed %s %.64s: %.16s\n", path, names[i], answer);
  }
  free(copy);
}

static void reap(void) {
  negotiate();
  for (int i = 0; i < filter_count; i++) {
    const char *label = filters[i];
    remove_all("/containers/json?all=1", "\"Id\":\"", "/containers", "?force=1&v=1", label);
    remove_all("/networks", "\"Id\":\"", "/networks", "", label);
    remove_all("/volumes", "\"Name\":\"", "/volumes", "?force=1", label);
    remove_all("/images/json", "\"Id\":\"", "/images", "", label);
  }
}

// label=KEY=VALUE, several joined by &: each is kept.
static void keep(char *line) {
  for (char *part = strtok(line, "&\r\n"); part; part = strtok(NULL, "&\r\n")) {
    if (strncmp(part, "label=", 6) || filter_count == FILTERS_MAX) continue;
    snprintf(filters[filter_count++], sizeof *filters, "%s", part + 6);
  }
}

static int web(void) {
  int s = serve(80);
  for (char text[4096];;) {
    int client = accept4(s, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) return 1;
    ssize_t n = read(client, text, sizeof text - 1);
    text[n < 0 ? 0 : n] = 0;
    const char *status = strstr(text, "GET /ready") ? "200 OK" : "404 Not Found";
    dprintf(client, "HTTP/1.1 %s\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n", status);
    shutdown(client, SHUT_WR);
    while (read(client, text, sizeof text) > 0) {
    }
    close(client);
  }
}

int main(int argc, char **argv) {
  (void)argc;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (strstr(argv[0], "web")) return web();
  const char *timeout = getenv("RYUK_RECONNECTION_TIMEOUT");
  int wait_ms = timeout ? atoi(timeout) * 1000 : 10000;
  struct pollfd all[CLIENTS_MAX + 1] = {{.fd = serve(8080), .events = POLLIN}};
  for (int count = 1, served = 0;;) {
    int ready = poll(all, count, served && count == 1 ? wait_ms : -1);
    if (ready == 0) return reap(), 0;
    if (all[0].revents && count <= CLIENTS_MAX) {
      all[count++] = (struct pollfd){accept4(all[0].fd, NULL, NULL, SOCK_CLOEXEC), POLLIN, 0};
      served = 1;
    }
    for (int i = 1; i < count; i++) {
      char text[4096];
      if (!all[i].revents) continue;
      ssize_t n = read(all[i].fd, text, sizeof text - 1);
      if (n > 0) {
        text[n] = 0, keep(text);
        if (write(all[i].fd, "ACK\n", 4) < 0) perror("write");
        continue;
      }
      close(all[i].fd), all[i--] = all[--count];
    }
  }
}
