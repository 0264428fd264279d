/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's side of its socket to the core, and one run of one hunt as both see it. */
#pragma once
#include <stddef.h>

#include "wire/worker_frame.h"

/* Descriptors that a worker inherits. */
enum { core_socket = WF_SOCKET_DESCRIPTOR, bundle_descriptor = WF_BUNDLE_DESCRIPTOR };

/* Places a large array in the section large_data, apart from all other data: what every job touches
 * then shares few pages, and each page is a fault in a new worker. The "#" hides the flags that the
 * compiler adds; with them the section would take space in the file.
 */
#define LARGE __attribute__((section("large_data,\"aw\",@nobits#")))

/* Storage of the texts that an outcome points to. */
struct texts {
  char loot_ids[WF_AWARDS_MAX][WF_ID_BYTES_MAX];
  char result[WF_RESULT_BYTES_MAX];
  char reason[WF_REASON_BYTES_MAX];
  char log[WF_LOG_BYTES_MAX];
  char state[WF_STATE_BYTES_MAX];
};

/* One job: its input, its state, its outcome. */
struct run {
  uint64_t random_state[4];
  int asked_state;     /* the table of hunt.state() is in the registry */
  uint32_t asked_left; /* how often hunt.left() was called */
  int rejected;        /* hunt.reject() was called; a pcall() in the script does not undo it */
  struct wf_job job;
  struct wf_outcome outcome;
  struct texts* texts;
};

/* Sets the reason of the outcome, cut between two characters after WF_REASON_BYTES_MAX. */
void set_reason(struct run* run, const char* text, size_t size);

/* The frame that a worker is working on: a job's texts point into it, and once the job is done it
 * holds the frames of the reply. Not malloc()ed: a process starts a tenth faster without a heap.
 */
extern unsigned char job_frame[WF_FRAME_BYTES_MAX];
/* The core's reply to ask(). */
extern unsigned char reply_frame[WF_FRAME_BYTES_MAX];
/* Of the one run at a time. */
extern struct texts outcome_texts;

/* Waits for the next frame and reads it into job_frame. Returns its size; 0 if the core has no more
 * jobs, less on failure.
 */
long receive_job(void);

/* Sends a frame to the core. Ends the process if the core is gone, or if `size` is 0 (the frame did
 * not fit: wf_end()).
 */
void report(const unsigned char* frame, size_t size);

/* Sends a frame and waits for the reply, which must be of type `want`. Ends the process if the core
 * is gone or the reply is malformed. `reply` is left at the payload; its memory is reused by the
 * next call.
 */
void ask(const unsigned char* frame, size_t size, enum wf_type want, struct wf_reader* reply);
