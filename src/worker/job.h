/* SPDX-License-Identifier: Apache-2.0 */
/* One job: from its frame to the frame of its outcome. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Reads the job in `packet`, runs it, and sends the outcome. `hunter_id` is the hunter that the
 * worker was started for; null if the job decides. Returns 1 if another job may follow. Ends the
 * process if the core is gone.
 */
int do_job(const unsigned char* packet, size_t size, const char* hunter_id, uint64_t started_at_ns);

/* Reads bytes of the bundle. Returns 0 if they cannot be read. */
int read_bundle(void* into, size_t offset, size_t bytes);
/* Reads a source of the bundle, of at most WF_SCRIPT_BYTES_MAX, into a buffer that is valid until the
 * next call; null if it cannot be read.
 */
const char* read_source(size_t offset, size_t bytes);

/* Does the jobs that come on the socket until there are no more. An idle worker's jobs
 * (`hunter_id` is null) start when they arrive, not at `started_at_ns`.
 */
_Noreturn void serve_jobs(const char* hunter_id, uint64_t started_at_ns);

/* Drops this process's rights and opens the memory for jobs that run in tasks of its own
 * (worker/holder.h), each of which calls do_task(). The process may map `extra_bytes` more.
 * Returns 0 on failure.
 */
int prepare_for_tasks(uint64_t memory_bytes, size_t extra_bytes);

/* Waits for a job, does it, and ends the task. REQUIRES: the memory is as prepare_for_tasks() and
 * what followed it left it, and the arena is all zeros.
 */
_Noreturn void do_task(void);
