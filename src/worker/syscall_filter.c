/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/syscall_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wire/worker_frame.h"

#if defined(__x86_64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the numbers of system calls are known for x86_64 and aarch64"
#endif

enum {
  probe_option = 0x544e5548, /* "HUNT"; not an option of prctl(2) */
  probe_error = EBADE,       /* never returned by prctl(2) itself */
  set_fs = 0x1002,           /* arch_prctl(2) */
};

#define NO_MORE_THAN_RW ((uint32_t) ~(PROT_READ | PROT_WRITE))

enum condition {
  always,
  if_argument_is, /* compares the lower half, which is all that the kernel uses of an int */
  if_first_two_are,
  if_argument_has_none_of,
  if_gate_is_passed,
};

struct rule {
  long number;
  enum condition condition;
  unsigned argument;
  uint32_t value;
  uint32_t second_value; /* if_first_two_are */
};

/* A call may have several rules; one that matches is enough. */
static const struct rule rules[] = {
    /* The socket to the core, and the bundle. */
    {SYS_recvfrom, if_argument_is, 0, WF_SOCKET_DESCRIPTOR, 0},
    {SYS_sendto, if_argument_is, 0, WF_SOCKET_DESCRIPTOR, 0},
    {SYS_pread64, if_argument_is, 0, WF_BUNDLE_DESCRIPTOR, 0},
    {SYS_lseek, if_argument_is, 0, WF_BUNDLE_DESCRIPTOR, 0},
    {SYS_exit_group, always, 0, 0, 0},
    /* Memory, never to be executed. */
    {SYS_mmap, if_argument_has_none_of, 2, NO_MORE_THAN_RW, 0},
    {SYS_mprotect, if_argument_has_none_of, 2, NO_MORE_THAN_RW, 0},
    {SYS_munmap, always, 0, 0, 0},
    {SYS_brk, always, 0, 0, 0},
    {SYS_madvise, if_argument_is, 2, MADV_DONTNEED, 0},
    {SYS_madvise, if_argument_is, 2, MADV_DONTFORK, 0}, /* the zygote's key and packets */
    /* The clock, if it has no vDSO; a call that SIGSTOP interrupted. */
    {SYS_clock_gettime, always, 0, 0, 0},
    {SYS_restart_syscall, always, 0, 0, 0},
    /* The start of a program, with musl or glibc. */
    {SYS_set_tid_address, always, 0, 0, 0},
#if defined(__x86_64__)
    {SYS_arch_prctl, if_argument_is, 0, set_fs, 0},
#endif
    {SYS_set_robust_list, always, 0, 0, 0},
    {SYS_rseq, always, 0, 0, 0},
    {SYS_getrandom, always, 0, 0, 0},
    /* The jail itself; a limit can only be lowered. */
    {SYS_prlimit64, if_argument_is, 0, 0, 0},
    {SYS_prctl, if_first_two_are, 0, PR_SET_PDEATHSIG, SIGKILL},
    {SYS_prctl, if_argument_is, 0, PR_SET_NAME, 0},
    {SYS_prctl, if_first_two_are, 0, PR_SET_DUMPABLE, 0},
    {SYS_prctl, if_first_two_are, 0, PR_SET_SECCOMP, SECCOMP_MODE_FILTER}, /* a tighter one */
    {SYS_close_range, always, 0, 0, 0},
    {SYS_sched_setscheduler, if_first_two_are, 0, 0, SCHED_IDLE}, /* itself, behind all others */
    {SYS_sched_yield, always, 0, 0, 0},
    {SYS_dup3, if_argument_is, 1, WF_SOCKET_DESCRIPTOR, 0},
    /* Error output of a spawner, which may be a socket; in a worker, descriptor 2 is closed. */
    {SYS_write, if_argument_is, 0, STDERR_FILENO, 0},
    {SYS_sendto, if_argument_is, 0, STDERR_FILENO, 0},
    /* The spawner and the zygote. */
    {SYS_clone, if_gate_is_passed, 0, 0, 0},
    {SYS_execveat, if_gate_is_passed, 0, 0, 0},
    {SYS_wait4, if_gate_is_passed, 0, 0, 0},
    {SYS_kill, if_gate_is_passed, 0, 0, 0},
    {SYS_ppoll, if_gate_is_passed, 0, 0, 0},
    {SYS_signalfd4, if_gate_is_passed, 0, 0, 0},
    {SYS_read, if_gate_is_passed, 0, 0, 0},
    {SYS_socketpair, if_gate_is_passed, 0, 0, 0},
    {SYS_setsockopt, if_gate_is_passed, 0, 0, 0},
    {SYS_sendmsg, if_gate_is_passed, 0, 0, 0},
    {SYS_recvmsg, if_gate_is_passed, 0, 0, 0},
    {SYS_dup3, if_gate_is_passed, 0, 0, 0},
    {SYS_close, if_gate_is_passed, 0, 0, 0},
};

/* What a holder and its tasks may do of that. A task leaves nothing but bytes behind, which the
 * holder overwrites: it maps nothing, changes no mapping, opens and closes nothing.
 */
static const struct rule holder_rules[] = {
    {SYS_recvfrom, if_argument_is, 0, WF_SOCKET_DESCRIPTOR, 0},
    {SYS_sendto, if_argument_is, 0, WF_SOCKET_DESCRIPTOR, 0},
    {SYS_exit_group, always, 0, 0, 0},
    {SYS_clock_gettime, always, 0, 0, 0},
    {SYS_restart_syscall, always, 0, 0, 0},
    {SYS_getrandom, always, 0, 0, 0},
    {SYS_prctl, if_first_two_are, 0, PR_SET_PDEATHSIG, SIGKILL},
    {SYS_clone, if_gate_is_passed, 0, 0, 0},
    {SYS_wait4, if_gate_is_passed, 0, 0, 0},
    {SYS_madvise, if_gate_is_passed, 0, 0, 0},
    {SYS_munmap, if_gate_is_passed, 0, 0, 0},
};

/* Calls that fail and do not end the process: the probe of has_syscall_filter(), and what glibc
 * tries at its start and does not need.
 */
static const struct {
  long number;
  int by_first_argument;
  uint32_t first_argument;
  int error;
} failing[] = {
    {SYS_prctl, 1, probe_option, probe_error},
    {SYS_readlinkat, 0, 0, EACCES},
#if defined(__x86_64__)
    {SYS_readlink, 0, 0, EACCES},
    {SYS_arch_prctl, 1, 0x3001, EINVAL}, /* ARCH_CET_STATUS */
#endif
};

enum {
  instructions_max = 7 * (sizeof rules / sizeof rules[0] + sizeof failing / sizeof failing[0]) + 8
};

struct program {
  struct sock_filter at[instructions_max];
  unsigned short size;
};

static void put(struct program* p, uint16_t code, uint32_t value, uint8_t if_so, uint8_t if_not) {
  p->at[p->size++] = (struct sock_filter){code, if_so, if_not, value};
}
static void load(struct program* p, size_t offset) {
  put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}
static void finish(struct program* p, uint32_t action) { put(p, BPF_RET | BPF_K, action, 0, 0); }
static void skip_unless_equal(struct program* p, uint32_t value, uint8_t skipped) {
  put(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped);
}
static void load_number(struct program* p) { load(p, offsetof(struct seccomp_data, nr)); }
/* Both machines are little-endian. */
static void load_lower_half(struct program* p, unsigned argument) {
  load(p, offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t));
}
static void load_upper_half(struct program* p, unsigned argument) {
  load(p, offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t) + sizeof(uint32_t));
}

/* Expects the number of the call to be loaded, and leaves it loaded. */
static void put_rule(struct program* p, const struct rule* rule, uint64_t gate_key) {
  enum { gate_argument = 5 };
  switch (rule->condition) {
    case always:
      skip_unless_equal(p, (uint32_t)rule->number, 1);
      finish(p, SECCOMP_RET_ALLOW);
      break;
    case if_argument_is:
      skip_unless_equal(p, (uint32_t)rule->number, 4);
      load_lower_half(p, rule->argument);
      skip_unless_equal(p, rule->value, 1);
      finish(p, SECCOMP_RET_ALLOW);
      load_number(p);
      break;
    case if_first_two_are:
      skip_unless_equal(p, (uint32_t)rule->number, 6);
      load_lower_half(p, 0);
      skip_unless_equal(p, rule->value, 3);
      load_lower_half(p, 1);
      skip_unless_equal(p, rule->second_value, 1);
      finish(p, SECCOMP_RET_ALLOW);
      load_number(p);
      break;
    case if_argument_has_none_of:
      skip_unless_equal(p, (uint32_t)rule->number, 4);
      load_lower_half(p, rule->argument);
      put(p, BPF_JMP | BPF_JSET | BPF_K, rule->value, 1, 0);
      finish(p, SECCOMP_RET_ALLOW);
      load_number(p);
      break;
    case if_gate_is_passed:
      if (gate_key == 0) break;
      skip_unless_equal(p, (uint32_t)rule->number, 6);
      load_lower_half(p, gate_argument);
      skip_unless_equal(p, (uint32_t)gate_key, 3);
      load_upper_half(p, gate_argument);
      skip_unless_equal(p, (uint32_t)(gate_key >> 32), 1);
      finish(p, SECCOMP_RET_ALLOW);
      load_number(p);
      break;
  }
}

static void begin(struct program* p) {
  p->size = 0;
  load(p, offsetof(struct seccomp_data, arch));
  put(p, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCHITECTURE, 1, 0);
  finish(p, SECCOMP_RET_KILL_PROCESS);
  load_number(p);
}

static void put_failing(struct program* p) {
  for (size_t i = 0; i < sizeof failing / sizeof failing[0]; ++i) {
    skip_unless_equal(p, (uint32_t)failing[i].number, failing[i].by_first_argument ? 4 : 1);
    if (failing[i].by_first_argument) {
      load_lower_half(p, 0);
      skip_unless_equal(p, failing[i].first_argument, 1);
    }
    finish(p, SECCOMP_RET_ERRNO | (uint32_t)failing[i].error);
    if (failing[i].by_first_argument) load_number(p);
  }
}

static int install(struct program* p) {
  finish(p, SECCOMP_RET_KILL_PROCESS);
  struct sock_fprog const filter = {p->size, p->at};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0 ? 0 : errno;
}

int install_syscall_filter(uint64_t gate_key) {
  struct program p;
  begin(&p);
  for (size_t i = 0; i < sizeof rules / sizeof rules[0]; ++i) put_rule(&p, &rules[i], gate_key);
  put_failing(&p);
  /* Otherwise only root may install a filter. */
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  return install(&p);
}

int install_holder_filter(uint64_t gate_key) {
  struct program p;
  begin(&p);
  for (size_t i = 0; i < sizeof holder_rules / sizeof holder_rules[0]; ++i)
    put_rule(&p, &holder_rules[i], gate_key);
  return install(&p);
}

int has_syscall_filter(void) {
  return prctl(probe_option, 0, 0, 0, 0) != 0 && errno == probe_error;
}

enum { words = _LINUX_CAPABILITY_U32S_3 };

static int get_capabilities(struct __user_cap_header_struct* header,
                            struct __user_cap_data_struct sets[words]) {
  header->version = _LINUX_CAPABILITY_VERSION_3;
  header->pid = 0;
  return syscall(SYS_capget, header, sets) == 0;
}

int drop_capabilities_at_exec(void) {
  struct __user_cap_header_struct header;
  struct __user_cap_data_struct sets[words];
  if (!get_capabilities(&header, sets)) return errno;
  for (int i = 0; i < words; ++i) sets[i].inheritable = 0;
  if (syscall(SYS_capset, &header, sets) != 0) return errno;
  /* These fail without CAP_SETPCAP; then a program cannot get capabilities from this process. */
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (unsigned long capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0;)
    ++capability;
  return 0;
}

int drop_capabilities(void) {
  struct __user_cap_header_struct header;
  struct __user_cap_data_struct sets[words];
  if (!get_capabilities(&header, sets)) return errno;
  for (int i = 0; i < words; ++i) sets[i] = (struct __user_cap_data_struct){0, 0, 0};
  return syscall(SYS_capset, &header, sets) == 0 ? 0 : errno;
}
