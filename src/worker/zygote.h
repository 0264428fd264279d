/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Forks a worker for each start request on the socket, until the core closes it. */
_Noreturn void run_zygote(void);
