/* SPDX-License-Identifier: Apache-2.0 */
/* A holder runs each job in a task of its own (isolation mode "task"). The task is a process that
 * shares the holder's memory: clone(CLONE_VM | CLONE_VFORK), about a sixth of the cost of an exec.
 * While it lives, the holder sleeps in the kernel. When it is dead, the holder puts every byte that
 * it could have written back, says WF_CLEAN, and starts the next task
 * (docs/decisions/0046-a-task-per-hunt.md has what could be left behind, and why it is not).
 */
#pragma once

/* Serves jobs until the core closes the socket. The first packet on it is a holder_start
 * (wire/spawner_message.h). Ends the process with status 4 if a step of the preparation fails, and
 * with 5 on machines that tasks are not written for.
 */
_Noreturn void run_holder(void);

/* Whether this program can: on x86_64, and built against musl. With glibc a process has a heap that
 * no step of a holder puts back.
 */
int can_hold_tasks(void);
