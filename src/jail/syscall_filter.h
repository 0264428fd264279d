/* The system calls that a worker may make; any other ends its process with SIGSYS (seccomp(2)).
 *
 * Installing a filter takes as long as a third of a birth (docs/decisions/0017-seccomp.md), so a
 * spawner installs it once, for itself and for all that it starts. What only a spawner and a zygote
 * do (start processes, wait for them, send descriptors) is behind a gate: such a call passes where
 * its sixth argument, which the kernel does not look at, is the key. A worker does not have it: a
 * program forgets its memory when another is executed in its place, and a zygote keeps the key in a
 * page that its children do not inherit.
 */
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Puts the filter on this process, and on all that it starts, for good. With `gate_key` 0 nothing
 * is behind the gate, and nothing passes it. 0, or the errno of what failed. */
int install_syscall_filter(uint64_t gate_key);
/* Whether this process has the filter, whoever installed it. Other filters (a container's) don't
 * count. */
int has_syscall_filter(void);

/* Gives up this process's capabilities, now, or for the next program that is executed in its place
 * or in a child's: a worker of root's is then no more than any other. 0, or the errno of what
 * failed.
 */
int drop_capabilities(void);
int drop_capabilities_at_exec(void);

#ifdef __cplusplus
}
#endif
