/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/launcher.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  /* Exited children are collected before the next packet, or after this time. */
  collect_every_ms = 100,
  exit_malformed = 3,
};

static pid_t wait_for(const struct launcher* launcher, pid_t pid, int* status, int flags) {
  return (pid_t)launcher->call(SYS_wait4, (uintptr_t)(long)pid, (uintptr_t)status,
                               (uintptr_t)(long)flags, 0, 0);
}

static void close_descriptor(const struct launcher* launcher, int descriptor) {
  if (descriptor >= 0) launcher->call(SYS_close, (uintptr_t)descriptor, 0, 0, 0, 0);
}

/* --- exit statuses --- */

static void note_exit(struct launcher* launcher, pid_t pid, int wait_status) {
  --launcher->live;
  if (wait_status == 0) return; /* the core does not ask about a success */
  launcher->statuses[launcher->status_next].pid = (int32_t)pid;
  launcher->statuses[launcher->status_next].wait_status = wait_status;
  launcher->status_next = (launcher->status_next + 1) % launcher_statuses_max;
}

void launcher_collect(struct launcher* launcher, int wait_flags) {
  int status;
  pid_t pid;
  while (launcher->live > 0 && (pid = wait_for(launcher, -1, &status, wait_flags)) > 0)
    note_exit(launcher, pid, status);
}

/* Returns the status and removes it; 0 if there is none. From the newest on: a pid can come again.
 */
static int take_status(struct launcher* launcher, int32_t pid) {
  for (unsigned i = 1; i <= launcher_statuses_max; ++i) {
    unsigned const at = (launcher->status_next + launcher_statuses_max - i) % launcher_statuses_max;
    if (launcher->statuses[at].pid != pid) continue;
    launcher->statuses[at].pid = 0;
    return launcher->statuses[at].wait_status;
  }
  return 0;
}

/* Only if it is still our child: once collected, its pid may belong to another process. */
static void kill_child(struct launcher* launcher, pid_t pid) {
  if (pid <= 0) return; /* several processes, to wait4(2) and kill(2) */
  int status;
  pid_t const found = wait_for(launcher, pid, &status, WNOHANG);
  if (found == pid)
    note_exit(launcher, pid, status);
  else if (found == 0)
    launcher->call(SYS_kill, (uintptr_t)(long)pid, SIGKILL, 0, 0, 0);
}

/* --- messages --- */

/* Sends a report with the first `count` of `descriptors`. */
static void send_report(struct launcher* launcher, struct spawner_report* report,
                        const int* descriptors, size_t count) {
  union {
    char bytes[CMSG_SPACE(2 * sizeof(int))];
    struct cmsghdr aligned;
  } control;
  struct iovec iov = {report, sizeof *report};
  struct msghdr header;
  memset(&header, 0, sizeof header);
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  if (count > 0) {
    memset(&control, 0, sizeof control);
    header.msg_control = &control;
    header.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), descriptors, count * sizeof(int));
  }
  while (launcher->call(SYS_sendmsg, (uintptr_t)launcher->core_socket, (uintptr_t)&header,
                        MSG_NOSIGNAL, 0, 0) < 0) {
    if (errno == EINTR) continue;
    launcher->core_gone = 1;
    return;
  }
}

static void start(struct launcher* launcher, const struct spawner_request* request,
                  const char* hunter_id, const char* job) {
  int const is_zygote = request->kind == SPAWNER_ZYGOTE;
  struct launch launch = {{-1, -1}, -1, 0, 0};
  struct spawner_report report;
  memset(&report, 0, sizeof report);
  report.kind = is_zygote ? SPAWNER_ZYGOTE : SPAWNER_STARTED;
  report.slot = request->slot;
  if (launcher->call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
                     (uintptr_t)launch.pair, 0) != 0)
    report.spawn_errno = errno;
  else
    report.spawn_errno = launcher->start(launcher, request, hunter_id, job, &launch);
  if (report.spawn_errno == 0) {
    ++launcher->live;
    report.pid = (int32_t)launch.pid;
    report.started_at_ns = launch.started_at_ns;
  }
  int const descriptors[2] = {launch.pair[0], launch.pidfd};
  size_t const count = report.spawn_errno != 0 ? 0 : is_zygote ? 1 : 2;
  send_report(launcher, &report, descriptors, count);
  close_descriptor(launcher, launch.pidfd);
  close_descriptor(launcher, launch.pair[0]);
  close_descriptor(launcher, launch.pair[1]);
}

static void report_status(struct launcher* launcher, const struct spawner_request* request) {
  launcher_collect(launcher, WNOHANG);
  struct spawner_report report;
  memset(&report, 0, sizeof report);
  report.kind = SPAWNER_ENDED;
  report.slot = request->slot;
  report.pid = request->pid;
  report.wait_status = take_status(launcher, request->pid);
  send_report(launcher, &report, NULL, 0);
}

/* `body` is the hunter_id, then the job. `descriptor` is -1, or the packet's. */
static void serve_request(struct launcher* launcher, const struct spawner_request* request,
                          const char* body, int descriptor) {
  switch (request->kind) {
    case SPAWNER_USE_BUNDLE:
      if (descriptor < 0) _exit(exit_malformed);
      close_descriptor(launcher, launcher->bundle);
      launcher->bundle = descriptor;
      break;
    case SPAWNER_START:
    case SPAWNER_HOLDER:
    case SPAWNER_ZYGOTE:
      start(launcher, request, body, body + request->hunter_bytes);
      break;
    case SPAWNER_STATUS:
      report_status(launcher, request);
      break;
    case SPAWNER_KILL:
      kill_child(launcher, request->pid);
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

void launcher_run(struct launcher* launcher) {
  while (!launcher->core_gone) {
    struct pollfd wait = {launcher->core_socket, POLLIN, 0};
    struct timespec pause = {0, collect_every_ms * 1000000L};
    uintptr_t const timeout = launcher->live > 0 ? (uintptr_t)&pause : 0;
    long const ready = launcher->call(SYS_ppoll, (uintptr_t)&wait, 1, timeout, 0, 0);
    launcher_collect(launcher, WNOHANG);
    if (ready > 0) receive_packet(launcher);
  }
}
