/* SPDX-License-Identifier: Apache-2.0 */
/* The rights that a worker gives up, so that a script that breaks out of the VM finds nothing. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* What a process does with its jobs. */
enum worker_kind {
  one_job,   /* runs one and exits */
  many_jobs, /* runs them in sequence; bound_next_job() bounds the CPU time of each */
  job_tasks, /* runs each in a task of its own, whose CPU time counts from zero */
};

/* Once, before the first script runs. The process may map `memory_bytes` for the script and
 * `extra_bytes` more.
 */
void drop_rights(uint64_t memory_bytes, size_t extra_bytes, enum worker_kind kind);

/* Renews the bound on CPU time for the next job. REQUIRES: drop_rights() with `many_jobs`. */
void bound_next_job(void);

/* From now on this process runs only if no other one wants its CPU. If the kernel does not take it,
 * nothing changes. REQUIRES: it is not a holder, nor one of its tasks.
 */
void yield_to_others(void);
