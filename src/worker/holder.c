/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/holder.h"

#include <elf.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/spawner_message.h"
#include "wire/worker_frame.h"
#include "worker/arena.h"
#include "worker/core_link.h"
#include "worker/job.h"
#include "worker/syscall_filter.h"

#if defined(__x86_64__) && !defined(__GLIBC__)

int can_hold_tasks(void) { return 1; }

enum {
  page_bytes = 4096,
  stack_bytes = 1024 * 1024, /* of a task */
  /* What most tasks write is overwritten in place: a page that is given back to the kernel costs the
   * next task a fault. The rest is given back, which costs little if it was not touched.
   */
  hot_stack_bytes = 16 * 1024,
  hot_arena_bytes = 64 * 1024,
  hot_job_bytes = 8 * 1024,
  hot_reply_bytes = 4 * 1024,
  hot_texts_bytes = 8 * 1024,
  /* The kernel keeps at least twice as much address space below a stack free (mmap_base()). */
  old_stack_bytes_max = 64 * 1024 * 1024,
  steps_max = 32,
  /* Of all writable segments without the large arrays, which have 12 KB. */
  pristine_bytes_max = 64 * 1024,
};

/* --- what puts the memory back --- */

enum step_kind { step_end = 0, step_copy = 1, step_zero = 2, step_give_back = 3 };

/* hold() reads it by these offsets. */
struct step {
  uint64_t kind;
  char* to;
  const char* from; /* step_copy only */
  uint64_t bytes;
};
_Static_assert(sizeof(struct step) == 32 && offsetof(struct step, to) == 8 &&
                   offsetof(struct step, from) == 16 && offsetof(struct step, bytes) == 24,
               "hold() depends on it");

/* Mapped, and read-only once it is complete: no task can map or protect anything. */
struct plan {
  struct step steps[steps_max];
  char pristine[pristine_bytes_max];
};

struct planner {
  struct plan* plan;
  size_t step_count;
  size_t pristine_bytes;
};

static void add_step(struct planner* p, enum step_kind kind, char* to, const char* from,
                     size_t bytes) {
  if (bytes == 0) return;
  if (p->step_count + 1 >= steps_max) _exit(4); /* the last one is step_end */
  p->plan->steps[p->step_count++] = (struct step){kind, to, from, bytes};
}

static void keep(struct planner* p, char* begin, const char* end) {
  size_t const bytes = (size_t)(end - begin);
  if (bytes > pristine_bytes_max - p->pristine_bytes) _exit(4);
  char* const copy = p->plan->pristine + p->pristine_bytes;
  p->pristine_bytes += bytes;
  add_step(p, step_copy, begin, copy, bytes);
}

static char* page_floor(char* at) { return (char*)((uintptr_t)at / page_bytes * page_bytes); }
static char* page_ceil(char* at) { return page_floor(at + page_bytes - 1); }

/* A range whose first `hot_bytes` most tasks write; both sizes are whole pages. */
static void clear(struct planner* p, char* begin, size_t bytes, size_t hot_bytes) {
  if (hot_bytes > bytes) hot_bytes = bytes;
  add_step(p, step_zero, begin, NULL, hot_bytes);
  add_step(p, step_give_back, begin + hot_bytes, NULL, bytes - hot_bytes);
}

/* The linker's, of the section of LARGE. */
extern char __start_large_data[], __stop_large_data[];

/* [begin, end) has whole pages of the large arrays only. */
static void clear_large(struct planner* p, char* begin, const char* end) {
  const struct {
    char* at;
    size_t bytes;
  } hot[] = {{(char*)job_frame, hot_job_bytes},
             {(char*)reply_frame, hot_reply_bytes},
             {(char*)&outcome_texts, hot_texts_bytes}};
  while (begin < end) {
    /* The next hot range, by its address. */
    char* next = (char*)end;
    char* next_end = (char*)end;
    for (size_t i = 0; i < sizeof hot / sizeof hot[0]; ++i) {
      char* const at = page_floor(hot[i].at);
      char* const last = page_ceil(hot[i].at + hot[i].bytes);
      if (last <= begin || at >= next) continue;
      next = at < begin ? begin : at;
      next_end = last > end ? (char*)end : last;
    }
    add_step(p, step_give_back, begin, NULL, (size_t)(next - begin));
    add_step(p, step_zero, next, NULL, (size_t)(next_end - next));
    begin = next_end;
  }
}

/* The pages of a writable segment of the program. */
static void plan_segment(struct planner* p, char* begin, char* end) {
  begin = page_floor(begin);
  end = page_ceil(end);
  char* large = page_ceil(__start_large_data);
  char* large_end = page_floor(__stop_large_data);
  if (large < begin || large_end > end || large >= large_end) large = large_end = end;
  keep(p, begin, large);
  clear_large(p, large, large_end);
  keep(p, large_end, end);
}

static void plan_program(struct planner* p) {
  const Elf64_Phdr* const headers = (const Elf64_Phdr*)getauxval(AT_PHDR);
  size_t const count = getauxval(AT_PHNUM);
  for (size_t i = 0; i < count; ++i) {
    if (headers[i].p_type != PT_LOAD || (headers[i].p_flags & PF_W) == 0) continue;
    char* const begin = (char*)headers[i].p_vaddr;
    plan_segment(p, begin, begin + headers[i].p_memsz);
  }
}

/* Copies what the plan says is kept. After it nothing may change but what a task may find. */
static void fill_pristine(struct plan* plan) {
  for (const struct step* step = plan->steps; step->kind != step_end; ++step)
    if (step->kind == step_copy) memcpy((char*)step->from, step->to, step->bytes);
}

/* --- the loop --- */

/* The frame that hold() sends. */
struct clean_frame {
  unsigned char header[WF_HEADER_BYTES];
  unsigned char key[8];
  unsigned char wait_status[4];
};
_Static_assert(sizeof(struct clean_frame) == WF_CLEAN_BYTES && WF_HEADER_BYTES == 12,
               "hold() depends on it");
__attribute__((used)) struct clean_frame hold_frame;
__attribute__((used)) int hold_wait_status;

/* Starts a task, waits for its end, follows the steps, says WF_CLEAN, and so on. It does all that in
 * registers and believes no byte of writable memory: the last task may have written it. It uses no
 * stack; `old_stack` is unmapped first, with what it has of the keys. A task gets no key: they are
 * in registers that it clears first, and in the kernel.
 */
_Noreturn void hold(const struct holder_start* start, const struct step* steps, char* stack_end,
                    char* old_stack, size_t old_stack_bytes);
_Noreturn __attribute__((used)) void hold_task(void) {
  /* Not inherited. The holder may have ended meanwhile; then the core has closed the socket. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  do_task();
}

/* What a task could do to descriptors, working directory and signal handlers the filter denies, so it
 * need not have copies of them: that is a quarter of the cost of its start and end.
 */
_Static_assert((CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | SIGCHLD) ==
                       0x4f11 &&
                   MADV_DONTNEED == 4 && (MSG_DONTWAIT | MSG_TRUNC) == 0x60 &&
                   MSG_NOSIGNAL == 0x4000,
               "hold() has them as numbers");
/* r12: the gate's key. r13: the key of WF_CLEAN. r14: the steps. rbx: the end of a task's stack. */
__asm__(
    ".text\n"
    ".type hold, @function\n"
    "hold:\n"
    "  mov (%rdi), %r12\n"
    "  mov 8(%rdi), %r13\n"
    "  mov %rsi, %r14\n"
    "  mov %rdx, %rbx\n"
    "  cld\n"
    /* munmap(old_stack, old_stack_bytes) */
    "  mov %rcx, %rdi\n"
    "  mov %r8, %rsi\n"
    "  mov %r12, %r9\n"
    "  mov $11, %eax\n"
    "  syscall\n"
    "  xor %r9d, %r9d\n"
    "  test %rax, %rax\n"
    "  jnz 90f\n"
    /* What the preparation has left in registers that a task inherits. */
    "  fninit\n"
    "  pxor %xmm0, %xmm0\n  pxor %xmm1, %xmm1\n  pxor %xmm2, %xmm2\n  pxor %xmm3, %xmm3\n"
    "  pxor %xmm4, %xmm4\n  pxor %xmm5, %xmm5\n  pxor %xmm6, %xmm6\n  pxor %xmm7, %xmm7\n"
    "  pxor %xmm8, %xmm8\n  pxor %xmm9, %xmm9\n  pxor %xmm10, %xmm10\n  pxor %xmm11, %xmm11\n"
    "  pxor %xmm12, %xmm12\n  pxor %xmm13, %xmm13\n  pxor %xmm14, %xmm14\n  pxor %xmm15, %xmm15\n"

    /* clone(CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | SIGCHLD, stack_end, 0, 0,
     * 0)
     */
    "10:\n"
    "  mov $0x4f11, %edi\n"
    "  mov %rbx, %rsi\n"
    "  xor %edx, %edx\n"
    "  xor %r10d, %r10d\n"
    "  xor %r8d, %r8d\n"
    "  mov %r12, %r9\n"
    "  mov $56, %eax\n"
    "  syscall\n"
    "  xor %r9d, %r9d\n"
    "  test %rax, %rax\n"
    "  jz 80f\n"
    "  js 90f\n"
    "  mov %rax, %r15\n"

    /* wait4(task, &hold_wait_status, 0, 0) */
    "20:\n"
    "  mov %r15, %rdi\n"
    "  lea hold_wait_status(%rip), %rsi\n"
    "  xor %edx, %edx\n"
    "  xor %r10d, %r10d\n"
    "  mov %r12, %r9\n"
    "  mov $61, %eax\n"
    "  syscall\n"
    "  xor %r9d, %r9d\n"
    "  cmp $-4, %rax\n" /* EINTR */
    "  je 20b\n"
    "  cmp %rax, %r15\n"
    "  jne 90f\n"
    "  mov hold_wait_status(%rip), %ebp\n"

    /* the steps */
    "  mov %r14, %r15\n"
    "30:\n"
    "  mov (%r15), %rax\n"
    "  mov 8(%r15), %rdi\n"
    "  mov 16(%r15), %rsi\n"
    "  mov 24(%r15), %rcx\n"
    "  add $32, %r15\n"
    "  cmp $2, %eax\n"
    "  ja 33f\n"
    "  je 32f\n"
    "  test %eax, %eax\n"
    "  jz 40f\n"
    "  rep movsb\n"
    "  jmp 30b\n"
    "32:\n"
    "  xor %eax, %eax\n"
    "  rep stosb\n"
    "  jmp 30b\n"
    /* madvise(to, bytes, MADV_DONTNEED) */
    "33:\n"
    "  mov %rcx, %rsi\n"
    "  mov $4, %edx\n"
    "  mov %r12, %r9\n"
    "  mov $28, %eax\n"
    "  syscall\n"
    "  xor %r9d, %r9d\n"
    "  test %rax, %rax\n"
    "  jz 30b\n"
    "  jmp 90f\n"

    /* recvfrom(3, _, 0, MSG_DONTWAIT | MSG_TRUNC, 0, 0): drops what the task did not read; its
     * result is the length of the packet
     */
    "40:\n"
    "  mov $3, %edi\n"
    "  lea hold_frame(%rip), %rsi\n"
    "  xor %edx, %edx\n"
    "  mov $0x60, %r10d\n"
    "  xor %r8d, %r8d\n"
    "  mov $45, %eax\n"
    "  syscall\n"
    "  test %rax, %rax\n"
    "  jg 40b\n"
    "  jz 95f\n" /* the core has closed its end */
    "  cmp $-4, %rax\n"
    "  je 40b\n"
    "  cmp $-11, %rax\n" /* EAGAIN */
    "  jne 90f\n"

    /* sendto(3, &hold_frame, WF_CLEAN_BYTES, MSG_NOSIGNAL, 0, 0) */
    "50:\n"
    "  mov %r13, hold_frame+12(%rip)\n"
    "  mov %ebp, hold_frame+20(%rip)\n"
    "  mov $3, %edi\n"
    "  lea hold_frame(%rip), %rsi\n"
    "  mov $24, %edx\n"
    "  mov $0x4000, %r10d\n"
    "  xor %r8d, %r8d\n"
    "  mov $44, %eax\n"
    "  syscall\n"
    "  movq $0, hold_frame+12(%rip)\n"
    "  movl $0, hold_frame+20(%rip)\n"
    "  cmp $-4, %rax\n"
    "  je 50b\n"
    "  cmp $24, %rax\n"
    "  je 10b\n"
    "  cmp $-32, %rax\n" /* EPIPE: the core has closed its end */
    "  je 95f\n"

    "90:\n"
    "  mov $4, %edi\n"
    "  jmp 96f\n"
    "95:\n"
    "  xor %edi, %edi\n"
    "96:\n"
    "  mov $231, %eax\n" /* exit_group */
    "  syscall\n"
    "  hlt\n"

    /* in the task */
    "80:\n"
    "  xor %r12d, %r12d\n"
    "  xor %r13d, %r13d\n"
    "  xor %r14d, %r14d\n"
    "  xor %r15d, %r15d\n"
    "  xor %ebx, %ebx\n"
    "  xor %ebp, %ebp\n"
    "  call hold_task\n"
    "  hlt\n"
    ".size hold, . - hold\n");

/* --- the preparation --- */

/* A page below the stack faults. Returns the stack's lowest byte. */
static char* map_stack(void) {
  char* const mapped = mmap(NULL, page_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED || mprotect(mapped, page_bytes, PROT_NONE) != 0) _exit(4);
  return mapped + page_bytes;
}

static struct plan* map_plan(void) {
  struct plan* const plan = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (plan == MAP_FAILED) _exit(4);
  return plan;
}

/* The end of the stack that the kernel made: the program's name is the last thing on it. */
static char* old_stack_end(void) {
  const char* const name = (const char*)getauxval(AT_EXECFN);
  if (name == NULL) _exit(4);
  return page_ceil((char*)name + strlen(name) + 1);
}

void run_holder(void) {
  struct holder_start start;
  prctl(PR_SET_NAME, "hunt-holder");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (recv(core_socket, &start, sizeof start, 0) != (ssize_t)sizeof start) _exit(4);
  size_t const extra_bytes = page_bytes + stack_bytes + sizeof(struct plan);
  if (!prepare_for_tasks(start.memory_bytes, extra_bytes)) _exit(4);
  struct planner planner = {map_plan(), 0, 0};
  char* const stack = map_stack();
  struct wf_writer writer = wf_begin(&hold_frame, sizeof hold_frame, WF_CLEAN);
  writer.at += sizeof hold_frame - WF_HEADER_BYTES;
  if (wf_end(&writer) != sizeof hold_frame) _exit(4);

  plan_program(&planner);
  uint64_t const arena_pages = (start.memory_bytes + page_bytes - 1) / page_bytes;
  clear(&planner, ARENA_BASE, arena_pages * page_bytes, hot_arena_bytes);
  add_step(&planner, step_zero, stack + stack_bytes - hot_stack_bytes, NULL, hot_stack_bytes);
  add_step(&planner, step_give_back, stack, NULL, stack_bytes - hot_stack_bytes);
  /* No core dump, which on older kernels ends every process that shares the memory; no ptrace. */
  if (prctl(PR_SET_DUMPABLE, 0) != 0) _exit(4);
  fill_pristine(planner.plan);
  if (mprotect(planner.plan, sizeof *planner.plan, PROT_READ) != 0) _exit(4);
  if (install_holder_filter(start.gate_key) != 0) _exit(4);
  char* const old_end = old_stack_end();
  hold(&start, planner.plan->steps, stack + stack_bytes, old_end - old_stack_bytes_max,
       old_stack_bytes_max);
}

#else

int can_hold_tasks(void) { return 0; }
void run_holder(void) { _exit(5); }

#endif
