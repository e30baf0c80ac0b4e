// Standby executors that wait inside prepared cgroups (pool.c).
#ifndef GANTRY_POOL_H
#define GANTRY_POOL_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Spawner: takes the payload of a POOL frame, u32 count and the parent folders (cgroup v1) in which
// standby executors prepare theirs. Count 0 ends the pool.
int pool_configure(const uint8_t *payload, size_t length);
// Executor: prepares its cgroups and enters them, unless a plan comes first.
void pool_prepare(int plan);
// Monitor: removes what its executor prepared and no container took.
void pool_discard(pid_t executor);

#endif
