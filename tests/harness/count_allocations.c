/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into huntd (LD_PRELOAD): counts the heap allocations of a process's main thread. The
 * count is in the file $HUNTD_TEST_ALLOCATIONS/PID, one 64-bit number, which the test reads while
 * the process runs. glibc only: it has the calls under these names.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

static volatile uint64_t* count;
/* 0: not known, 1: yes, -1: no */
static __thread int is_main __attribute__((tls_model("initial-exec")));

static void note(void) {
  if (count == NULL) return;
  if (is_main == 0) is_main = gettid() == getpid() ? 1 : -1;
  if (is_main == 1) *count += 1;
}

static void open_count(void) {
  const char* folder = getenv("HUNTD_TEST_ALLOCATIONS");
  if (folder == NULL) return;
  char path[4096];
  snprintf(path, sizeof path, "%s/%d", folder, (int)getpid());
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, sizeof *count) != 0) abort();
  void* mapped = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) abort();
  close(file);
  count = mapped;
}

__attribute__((constructor)) static void begin(void) {
  open_count();
  pthread_atfork(NULL, NULL, open_count);
}

void* malloc(size_t size) {
  note();
  return __libc_malloc(size);
}
void* calloc(size_t number, size_t size) {
  note();
  return __libc_calloc(number, size);
}
void* realloc(void* old, size_t size) {
  note();
  return __libc_realloc(old, size);
}
void* memalign(size_t alignment, size_t size) {
  note();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  note();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** into, size_t alignment, size_t size) {
  note();
  *into = __libc_memalign(alignment, size);
  return *into == NULL ? ENOMEM : 0;
}
