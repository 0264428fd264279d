/* SPDX-License-Identifier: Apache-2.0 */
/* The least that a process costs: it starts and exits (bench/spawn.cc). */
int main(void) { return 0; }
