// Escapes to try. Each attempt prints a line, `what<TAB>outcome`: the name of an error, or what it
// got hold of. The tests judge, and look at the outside.
#ifndef GANTRY_ATTACK_H
#define GANTRY_ATTACK_H

#include <stdio.h>

#define TELL(what, ...) (printf("%s\t", what), printf(__VA_ARGS__), putchar('\n'), fflush(stdout))

struct verb {
  const char *name;
  int (*run)(int argc, char **argv);
};
extern const struct verb file_verbs[], race_verbs[];

/** "done" for a result that is not negative, else the name of errno. */
const char *outcome(long result);

#endif
