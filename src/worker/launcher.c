/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/launcher.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  exit_malformed = 3,
  exit_no_descriptor = 4,
};

static void add_report(struct launcher* launcher, const struct spawner_report* report);

static pid_t wait_for(const struct launcher* launcher, pid_t pid, int* status, int flags) {
  return (pid_t)launcher->call(SYS_wait4, (uintptr_t)(long)pid, (uintptr_t)status,
                               (uintptr_t)(long)flags, 0, 0);
}

static void close_descriptor(const struct launcher* launcher, int descriptor) {
  if (descriptor >= 0) launcher->call(SYS_close, (uintptr_t)descriptor, 0, 0, 0, 0);
}

static int open_pair(const struct launcher* launcher, int pair[2]) {
  return launcher->call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, (uintptr_t)pair,
                        0) == 0
             ? 0
             : errno;
}

static void close_pair(const struct launcher* launcher, const int pair[2]) {
  close_descriptor(launcher, pair[0]);
  close_descriptor(launcher, pair[1]);
}

static void drop_pair(const struct launcher* launcher, struct launcher_slot* slot) {
  if (slot->has_pair) close_pair(launcher, slot->pair);
  slot->has_pair = 0;
}

/* --- exits --- */

static void note_exit(struct launcher* launcher, pid_t pid, int wait_status) {
  --launcher->live;
  for (unsigned i = 0; i < launcher->slots_used; ++i) {
    struct launcher_slot* const slot = &launcher->slots[i];
    if (slot->pid != pid) continue;
    slot->pid = 0;
    if (i >= SPAWNER_KEPT_SLOTS) drop_pair(launcher, slot);
    struct spawner_report const report = {
        .kind = SPAWNER_ENDED, .slot = i, .run = slot->run, .wait_status = wait_status};
    add_report(launcher, &report);
    return;
  }
  /* It was a zygote, whose end the core sees by its socket. */
}

void launcher_collect(struct launcher* launcher, int wait_flags) {
  int status;
  pid_t pid;
  while (launcher->live > 0 && (pid = wait_for(launcher, -1, &status, wait_flags)) > 0)
    note_exit(launcher, pid, status);
}

/* A pid stays its worker's until it is collected, and then it is in no slot. */
static void kill_worker(struct launcher* launcher, const struct launcher_slot* slot) {
  launcher->call(SYS_kill, (uintptr_t)(long)slot->pid, SIGKILL, 0, 0, 0);
}

/* --- reports --- */

/* Sends a packet, with `descriptor` if it is not -1. */
static void send_packet(struct launcher* launcher, const void* bytes, size_t size, int descriptor) {
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
  } control;
  struct iovec iov = {(void*)bytes, size};
  struct msghdr header;
  memset(&header, 0, sizeof header);
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  if (descriptor >= 0) {
    memset(&control, 0, sizeof control);
    header.msg_control = &control;
    header.msg_controllen = sizeof control;
    struct cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &descriptor, sizeof descriptor);
  }
  while (launcher->call(SYS_sendmsg, (uintptr_t)launcher->core_socket, (uintptr_t)&header,
                        MSG_NOSIGNAL, 0, 0) < 0) {
    if (errno == EINTR) continue;
    if (errno != ENOBUFS && errno != ENOMEM && errno != ETOOMANYREFS) {
      launcher->core_gone = 1;
      return;
    }
    struct timespec const pause = {0, 10 * 1000 * 1000}; /* for the kernel to have room again */
    launcher->call(SYS_ppoll, 0, 0, (uintptr_t)&pause, 0, 0);
  }
}

static void send_reports(struct launcher* launcher) {
  if (launcher->report_count == 0) return;
  size_t const bytes = launcher->report_count * sizeof launcher->reports[0];
  launcher->report_count = 0;
  send_packet(launcher, launcher->reports, bytes, -1);
}

static void add_report(struct launcher* launcher, const struct spawner_report* report) {
  launcher->reports[launcher->report_count++] = *report;
  if (launcher->report_count == launcher_reports_max) send_reports(launcher);
}

/* After the reports so far. */
static void report_with(struct launcher* launcher, const struct spawner_report* report,
                        int descriptor) {
  send_reports(launcher);
  send_packet(launcher, report, sizeof *report, descriptor);
}

/* --- starts --- */

/* Drops what the last worker of the slot did not read: it was for that one. Returns 0 if the socket
 * can't be used again. The core sends no empty packet, so an empty one is the socket's end.
 */
static int empty_socket(const struct launcher* launcher, int socket) {
  struct msghdr header;
  memset(&header, 0, sizeof header);
  for (;;) {
    long const size = launcher->call(SYS_recvmsg, (uintptr_t)socket, (uintptr_t)&header,
                                     MSG_DONTWAIT | MSG_TRUNC, 0, 0);
    if (size > 0 || (size < 0 && errno == EINTR)) continue;
    return size < 0 && errno == EAGAIN;
  }
}

/* The core does not start a worker before the last one of the slot has ended, unless it gave that
 * one up.
 */
static void end_last_worker(struct launcher* launcher, struct launcher_slot* slot) {
  if (slot->pid == 0) return;
  kill_worker(launcher, slot);
  int status = 0;
  while (wait_for(launcher, slot->pid, &status, 0) < 0 && errno == EINTR) {
  }
  note_exit(launcher, slot->pid, status);
}

/* Makes the slot's pair of sockets ready for a new worker. Returns 0 or an errno. */
static int prepare_pair(struct launcher* launcher, struct launcher_slot* slot, int new_socket) {
  if (!new_socket && slot->has_pair) return empty_socket(launcher, slot->pair[1]) ? 0 : EPIPE;
  if (!new_socket) _exit(exit_malformed);
  drop_pair(launcher, slot);
  int const error = open_pair(launcher, slot->pair);
  slot->has_pair = error == 0;
  return error;
}

static void start_worker(struct launcher* launcher, const struct spawner_request* request,
                         const char* hunter_id, const char* job) {
  if (request->slot >= SPAWNER_SLOTS_MAX) _exit(exit_malformed);
  struct launcher_slot* const slot = &launcher->slots[request->slot];
  if (request->slot >= launcher->slots_used) launcher->slots_used = request->slot + 1;
  end_last_worker(launcher, slot);
  struct spawner_report report = {
      .kind = SPAWNER_STARTED, .slot = request->slot, .run = request->run};
  report.spawn_errno = prepare_pair(launcher, slot, request->new_socket != 0);
  if (report.spawn_errno == 0) {
    struct launch launch = {{slot->pair[0], slot->pair[1]}, 0, 0};
    report.spawn_errno = launcher->start(launcher, request, hunter_id, job, &launch);
    report.started_at_ns = launch.started_at_ns;
    slot->pid = launch.pid;
    slot->run = request->run;
  }
  if (report.spawn_errno == 0) ++launcher->live;
  if (report.spawn_errno != 0 || !request->new_socket) {
    add_report(launcher, &report);
    return;
  }
  report_with(launcher, &report, slot->pair[0]);
  if (launcher->inherits_jobs) { /* the core's end is not needed for them */
    close_descriptor(launcher, slot->pair[0]);
    slot->pair[0] = -1;
  }
}

static void start_zygote(struct launcher* launcher, const struct spawner_request* request) {
  struct launch launch = {{-1, -1}, 0, 0};
  struct spawner_report report = {.kind = SPAWNER_ZYGOTE, .slot = request->slot};
  report.spawn_errno = open_pair(launcher, launch.pair);
  if (report.spawn_errno == 0)
    report.spawn_errno = launcher->start(launcher, request, NULL, NULL, &launch);
  if (report.spawn_errno == 0) ++launcher->live;
  report_with(launcher, &report, report.spawn_errno == 0 ? launch.pair[0] : -1);
  close_pair(launcher, launch.pair);
}

/* --- requests --- */

static void kill_on_request(struct launcher* launcher, const struct spawner_request* request) {
  if (request->slot >= SPAWNER_SLOTS_MAX) _exit(exit_malformed);
  const struct launcher_slot* const slot = &launcher->slots[request->slot];
  if (slot->pid != 0 && slot->run == request->run) kill_worker(launcher, slot);
}

/* `body` is the hunter_id, then the job. `descriptor` is -1, or the packet's. */
static void serve_request(struct launcher* launcher, const struct spawner_request* request,
                          const char* body, int descriptor) {
  struct spawner_report const pong = {.kind = SPAWNER_PONG};
  switch (request->kind) {
    case SPAWNER_USE_BUNDLE:
      if (descriptor < 0) _exit(exit_malformed);
      close_descriptor(launcher, launcher->bundle);
      launcher->bundle = descriptor;
      break;
    case SPAWNER_START:
    case SPAWNER_HOLDER:
      start_worker(launcher, request, body, body + request->hunter_bytes);
      break;
    case SPAWNER_ZYGOTE:
      start_zygote(launcher, request);
      break;
    case SPAWNER_PING:
      add_report(launcher, &pong);
      break;
    case SPAWNER_KILL:
      kill_on_request(launcher, request);
      break;
    default:
      _exit(exit_malformed);
  }
}

static void serve_packet(struct launcher* launcher, size_t size, int descriptor) {
  const char* at = launcher->packet;
  const char* const end = at + size;
  while (at < end && !launcher->core_gone) {
    struct spawner_request request;
    if ((size_t)(end - at) < sizeof request) _exit(exit_malformed);
    memcpy(&request, at, sizeof request);
    at += sizeof request;
    size_t const body_bytes = (size_t)request.hunter_bytes + request.job_bytes;
    if ((size_t)(end - at) < body_bytes) _exit(exit_malformed);
    serve_request(launcher, &request, at, descriptor);
    at += body_bytes;
    /* Each time reports have been sent: with many starts, the first ones end meanwhile. */
    if (launcher->report_count == 0) launcher_collect(launcher, WNOHANG);
  }
}

static void receive_packet(struct launcher* launcher) {
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
  } control;
  struct iovec iov = {launcher->packet, sizeof launcher->packet};
  struct msghdr header;
  memset(&header, 0, sizeof header);
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  header.msg_control = &control;
  header.msg_controllen = sizeof control;
  long const size = launcher->call(SYS_recvmsg, (uintptr_t)launcher->core_socket,
                                   (uintptr_t)&header, MSG_CMSG_CLOEXEC, 0, 0);
  if (size < 0 && errno == EINTR) return;
  if (size <= 0) {
    launcher->core_gone = 1;
    return;
  }
  int descriptor = -1;
  const struct cmsghdr* const c = CMSG_FIRSTHDR(&header);
  if (c != NULL && c->cmsg_type == SCM_RIGHTS) memcpy(&descriptor, CMSG_DATA(c), sizeof descriptor);
  serve_packet(launcher, (size_t)size, descriptor);
}

/* A descriptor that is readable once children have exited (signalfd(2)). */
static int open_exits(const struct launcher* launcher) {
  uint64_t const mask = UINT64_C(1) << (SIGCHLD - 1);
  long const opened = launcher->call(SYS_signalfd4, (uintptr_t)-1L, (uintptr_t)&mask, sizeof mask,
                                     SFD_CLOEXEC | SFD_NONBLOCK, 0);
  if (opened < 0) _exit(exit_no_descriptor);
  return (int)opened;
}

static void collect_exits(struct launcher* launcher, int exits) {
  struct signalfd_siginfo signal;
  launcher->call(SYS_read, (uintptr_t)exits, (uintptr_t)&signal, sizeof signal, 0, 0);
  launcher_collect(launcher, WNOHANG);
}

void launcher_run(struct launcher* launcher) {
  int const exits = open_exits(launcher);
  while (!launcher->core_gone) {
    struct pollfd wait[2] = {{launcher->core_socket, POLLIN, 0}, {exits, POLLIN, 0}};
    launcher->call(SYS_ppoll, (uintptr_t)wait, 2, 0, 0, 0);
    if (wait[1].revents != 0) collect_exits(launcher, exits);
    if (wait[0].revents != 0) receive_packet(launcher);
    send_reports(launcher);
  }
  close_descriptor(launcher, exits);
}

void launcher_end(struct launcher* launcher) {
  for (unsigned i = 0; i < launcher->slots_used; ++i)
    if (launcher->slots[i].pid != 0) kill_worker(launcher, &launcher->slots[i]);
  launcher_collect(launcher, 0);
}
