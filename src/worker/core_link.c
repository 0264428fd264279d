/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/core_link.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/utf8.h"

LARGE unsigned char job_frame[WF_FRAME_BYTES_MAX];
LARGE unsigned char reply_frame[WF_FRAME_BYTES_MAX];
LARGE struct texts outcome_texts;

void set_reason(struct run* run, const char* text, size_t size) {
  size = utf8_cut(text, size, sizeof run->texts->reason);
  memcpy(run->texts->reason, text, size);
  run->outcome.reason.data = run->texts->reason;
  run->outcome.reason.size = (uint32_t)size;
}

static ssize_t receive(unsigned char* frame) {
  ssize_t size;
  do size = recv(core_socket, frame, WF_FRAME_BYTES_MAX, 0);
  while (size < 0 && errno == EINTR);
  return size;
}

long receive_job(void) { return (long)receive(job_frame); }

void report(const unsigned char* frame, size_t size) {
  if (size == 0 || send(core_socket, frame, size, MSG_NOSIGNAL) != (ssize_t)size) _exit(3);
}

void ask(const unsigned char* frame, size_t size, enum wf_type want, struct wf_reader* reply) {
  report(frame, size);
  ssize_t const received = receive(reply_frame);
  if (received <= 0 || wf_open(reply, reply_frame, (size_t)received) != (int)want) _exit(3);
}
