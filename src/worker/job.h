/* One job, whichever way it came to this process. */
#pragma once
#include "worker/worker.h"

/* Where a worker finds what it inherits (protocol/spawner_message.h has them for the core). */
enum { core_socket = WF_SOCKET_DESCRIPTOR, bundle_descriptor = WF_BUNDLE_DESCRIPTOR };

/* Where large arrays lie, apart from all others, so that what every job touches shares few pages:
 * each is a fault of a newborn worker's. The "#" hides what the compiler adds: without it the
 * section would fill the file. */
#define LARGE __attribute__((section(".large,\"aw\",@nobits#")))

/* Reads the job in `packet`, runs it, and sends the outcome. `hunter_id` is whom the worker was
 * born for, or null where the job says. 1 where another job may follow. Ends the process where the
 * core is gone. */
int do_job(const unsigned char* packet, size_t size, const char* hunter_id, uint64_t began_at_ns);
/* Takes jobs from the socket until there are no more. */
_Noreturn void serve_jobs(const char* hunter_id, uint64_t began_at_ns);

/* jail.c: gives up what a hunt needs not, once, before the first script runs; `extra_bytes` of
 * address space are mapped besides the script's memory. */
void drop_rights(uint64_t memory_bytes, size_t extra_bytes, int more_jobs);
/* In a worker of many jobs: its CPU time is bounded anew for the next. */
void bound_next_job(void);

/* zygote.c: forks a worker for each start that its socket brings; never returns. */
_Noreturn void run_zygote(void);
