/* SPDX-License-Identifier: Apache-2.0 */
/* The floors of the isolation modes "task" and "fork": how many tasks a small static program starts
 * and waits for per second. Prints the number.
 *   task_floor clone SECONDS   they share its memory: vfork(2), _exit(2), wait
 *   task_floor fork SECONDS    they get a copy of it: fork(2), _exit(2), wait
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  int const shares = strcmp(argv[1], "clone") == 0;
  double const begin_s = now_s(), end_s = begin_s + atof(argv[2]);
  long count = 0;
  double at_s = begin_s;
  for (; at_s < end_s; at_s = now_s(), ++count) {
    pid_t const child = shares ? vfork() : fork();
    if (child == 0) _exit(0);
    if (child < 0 || waitpid(child, NULL, 0) != child) return 1;
  }
  printf("%.1f\n", (double)count / (at_s - begin_s));
  return 0;
}
