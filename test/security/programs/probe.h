// Rows of the probe: a group, a key and a value a line, tabs between them.
#ifndef GANTRY_PROBE_H
#define GANTRY_PROBE_H

#include <stdio.h>

#define ROW(group, key, ...) \
  (printf("%s\t%s\t", group, key), printf(__VA_ARGS__), putchar('\n'))

void probe_system_calls(void);
void probe_sockets(void);
void probe_files(void);
void probe_devices(void);
/** Runs in a child that may die or hang; returns errno, 0, -1 when it died, -2 for SIGSYS. */
int attempt(long (*call)(const long *), const long *arguments);
const char *error_name(int error);

#endif
