/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that a worker may make; any other ends its process with SIGSYS (seccomp(2)).
 *
 * Installing the filter takes a third of the time of a start (docs/decisions/0017-seccomp.md), so
 * the spawner installs it once, for itself and for all processes that it starts. Calls that only
 * the spawner and the zygote make (start processes, wait for them, send descriptors) are behind a
 * gate:
 * such a call is allowed if its sixth argument, which the kernel ignores, is the key. A worker does
 * not have the key: exec replaces the spawner's memory, and the zygote keeps the key in a page that
 * its children do not inherit.
 */
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Installs the filter for this process and all that it starts; it cannot be removed. If `gate_key`
 * is 0, the calls behind the gate are never allowed. Returns 0 or an errno.
 */
int install_syscall_filter(uint64_t gate_key);

/* Installs a tighter filter on top of it, for a holder and its tasks: what would outlive a task other
 * than bytes in its memory is behind the gate. REQUIRES: install_syscall_filter() has been called
 * with the same key, here or in an ancestor. Returns 0 or an errno.
 */
int install_holder_filter(uint64_t gate_key);

/* Whether this process has this filter, installed by itself or by an ancestor. Other filters (of a
 * container) do not count.
 */
int has_syscall_filter(void);

/* Drops the capabilities of this process. Returns 0 or an errno. */
int drop_capabilities(void);

/* Drops the capabilities that this process or a child would have after its next exec, so that a
 * worker running as root has no more rights than another. Returns 0 or an errno.
 */
int drop_capabilities_at_exec(void);

#ifdef __cplusplus
}
#endif
