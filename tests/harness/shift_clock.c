/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded (LD_PRELOAD): shifts the wall clock of a process by the seconds in the file
 * $HUNTD_TEST_CLOCK, one 64-bit number that can be negative and can change at any time. Clocks that
 * cannot be set (CLOCK_MONOTONIC and others) are not changed. glibc only: calls the kernel for the
 * real time.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t* ahead_s;

__attribute__((constructor)) static void open_clock(void) {
  const char* path = getenv("HUNTD_TEST_CLOCK");
  int const descriptor = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  void* memory = mmap(NULL, sizeof *ahead_s, PROT_READ, MAP_SHARED, descriptor, 0);
  if (memory != MAP_FAILED) ahead_s = memory;
  close(descriptor);
}

int clock_gettime(clockid_t clock, struct timespec* now) {
  int const error = (int)syscall(SYS_clock_gettime, clock, now);
  if (error == 0 && ahead_s != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += *ahead_s;
  return error;
}

int gettimeofday(struct timeval* restrict now, void* restrict zone) {
  int const error = (int)syscall(SYS_gettimeofday, now, zone);
  if (error == 0 && ahead_s != NULL) now->tv_sec += *ahead_s;
  return error;
}

time_t time(time_t* into) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (into != NULL) *into = now.tv_sec;
  return now.tv_sec;
}
