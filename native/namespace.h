// Cloning inside namespaces that are joined (ops-namespace.c), for ops-clone.c.
#ifndef GANTRY_NAMESPACE_H
#define GANTRY_NAMESPACE_H
#include <linux/sched.h>
#include <sys/types.h>

#include "exec.h"

// clone3 as a process that has joined `join` (pairs of a slot and CLONE_NEW*, in this order). 0 in
// the clone; its pid, or a negative errno. `between`: a process that has ended and whose parent
// is ours (CLONE_PARENT), to be reaped.
long clone_inside(struct run *r, const struct field *join, struct clone_args *args,
                  pid_t *between);

#endif
