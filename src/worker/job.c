/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/job.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker/arena.h"
#include "worker/clock.h"
#include "worker/core_link.h"
#include "worker/jail.h"
#include "worker/vm.h"

static struct run the_run; /* its address is in every image: push_hunt() */
static LARGE char script[WF_SCRIPT_BYTES_MAX];

static const char no_memory[] = "cannot map worker.memory_bytes of memory";

/* The whole bundle, mapped; in a worker of many jobs. */
static const char* bundle;
static size_t bundle_bytes;

static void fail_job(struct run* run, const char* reason) {
  run->outcome.status = WF_BAD_JOB;
  set_reason(run, reason, strlen(reason));
}

int read_bundle(void* into, size_t offset, size_t bytes) {
  if (bundle != NULL) {
    if (offset + bytes > bundle_bytes) return 0;
    memcpy(into, bundle + offset, bytes);
    return 1;
  }
  size_t have = 0;
  while (have < bytes) {
    ssize_t const got =
        pread(bundle_descriptor, (char*)into + have, bytes - have, (off_t)(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    have += (size_t)got;
  }
  return 1;
}

const char* read_source(size_t offset, size_t bytes) {
  return bytes <= sizeof script && read_bundle(script, offset, bytes) ? script : NULL;
}

static void map_bundle(void) {
  off_t const size = lseek(bundle_descriptor, 0, SEEK_END); /* the filter does not allow fstat() */
  if (size <= 0) return;
  void* const mapped = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, bundle_descriptor, 0);
  if (mapped == MAP_FAILED) return;
  bundle = mapped;
  bundle_bytes = (size_t)size;
}

/* Of the arena; 0 until the first job. */
static uint64_t open_bytes;
static int in_task;

/* Opens the memory for this job's script. Returns 0 on failure. */
static int open_memory(const struct wf_job* job) {
  int const more = (job->flags & WF_JOB_MORE) != 0;
  if (open_bytes == job->memory_bytes) {
    if (more) bound_next_job();
    return 1;
  }
  if (more && bundle == NULL) map_bundle();
  if (open_bytes == 0) drop_rights(job->memory_bytes, bundle_bytes, more ? many_jobs : one_job);
  if (more) bound_next_job();
  open_bytes = job->memory_bytes;
  return arena_open(job->memory_bytes);
}

static int load_image(const struct wf_job* job) {
  if (bundle == NULL) return arena_load(bundle_descriptor, job->image_offset, job->image_bytes);
  size_t const end = (size_t)job->image_offset + job->image_bytes;
  return end <= bundle_bytes && arena_restore(bundle + job->image_offset, job->image_bytes);
}

/* Makes the Lua state, from its image if there is one. Returns 0 if the outcome is a failure. */
static int load_state(struct run* run) {
  const struct wf_job* job = &run->job;
  if (job->image_bytes > 0) {
    if (load_image(job)) return 1;
    fail_job(run, "the image was built by a different hunt_worker");
    return 0;
  }
  if (read_source(job->script_offset, job->script_bytes) == NULL) {
    fail_job(run, "the bundle cannot be read");
    return 0;
  }
  /* The state of an earlier job may still be there; in a task it is not. */
  if (in_task) {
    arena_clear();
  } else if (!arena_open(job->memory_bytes)) {
    fail_job(run, no_memory);
    return 0;
  }
  prepare_script(run, script, job->script_bytes);
  return run->outcome.status == WF_OK;
}

static void fail_image_size(struct run* run) {
  static const char reason[] =
      ": the state after its top-level code has more than 8388608 bytes; build it in the function";
  char text[WF_ID_BYTES_MAX + 8 + sizeof reason];
  size_t const id_size = run->job.hunt_id.size;
  memcpy(text, run->job.hunt_id.data, id_size);
  memcpy(text + id_size, ".lua", 4);
  memcpy(text + id_size + 4, reason, sizeof reason - 1);
  run->outcome.status = WF_OUT_OF_MEMORY;
  set_reason(run, text, id_size + 4 + sizeof reason - 1);
}

/* For WF_JOB_CHECK: sends the image in pieces. */
static void report_image(struct run* run) {
  size_t const size = arena_image_bytes();
  if (size > WF_IMAGE_BYTES_MAX) {
    fail_image_size(run);
    return;
  }
  for (size_t sent = 0; sent < size;) {
    size_t piece = size - sent;
    if (piece > WF_IMAGE_PIECE_BYTES) piece = WF_IMAGE_PIECE_BYTES;
    struct wf_writer writer = wf_begin(job_frame, sizeof job_frame, WF_IMAGE);
    wf_put(&writer, ARENA_BASE + sent, piece);
    report(job_frame, wf_end(&writer));
    sent += piece;
  }
}

int do_job(const unsigned char* packet, size_t size, const char* hunter_id,
           uint64_t started_at_ns) {
  struct run* run = &the_run;
  run->texts = &outcome_texts;
  struct wf_job* job = &run->job;
  memset(&run->outcome, 0, sizeof run->outcome);
  run->rejected = 0;
  run->asked_state = 0;
  run->asked_left = 0;
  run->outcome.started_at_ns = started_at_ns;
  struct wf_reader reader;
  int const readable = wf_open(&reader, packet, size) == WF_JOB && wf_read_job(&reader, job);
  int const for_us =
      readable &&
      (hunter_id == NULL || (job->hunter_id.size == strlen(hunter_id) &&
                             memcmp(job->hunter_id.data, hunter_id, job->hunter_id.size) == 0));
  if (!for_us)
    fail_job(run, "the job is not for this worker");
  else if (!open_memory(job))
    fail_job(run, no_memory);
  else if (load_state(run)) {
    if ((job->flags & WF_JOB_YIELD) != 0 && !in_task) {
      yield_to_others();
      yield_while_running();
    }
    if ((job->flags & WF_JOB_CHECK) != 0)
      report_image(run);
    else
      run_script(run);
  }
  int const more = for_us && (job->flags & WF_JOB_MORE) != 0;
  report(job_frame, wf_write_outcome(job_frame, sizeof job_frame, &run->outcome));
  if (more && job->image_bytes > 0) arena_trim(job->image_bytes);
  return more;
}

void serve_jobs(const char* hunter_id, uint64_t started_at_ns) {
  for (;;) {
    long const size = receive_job();
    /* The core asks an idle worker to exit by closing its end. */
    if (size <= 0) _exit(size == 0 && hunter_id == NULL ? 0 : 3);
    if (hunter_id == NULL) started_at_ns = now_ns();
    if (!do_job(job_frame, (size_t)size, hunter_id, started_at_ns)) break;
  }
  _exit(0); /* the kernel frees the state faster than we could */
}

int prepare_for_tasks(uint64_t memory_bytes, size_t extra_bytes) {
  map_bundle();
  if (bundle == NULL) return 0;
  drop_rights(memory_bytes, bundle_bytes + extra_bytes, job_tasks);
  if (!arena_open(memory_bytes)) return 0;
  open_bytes = memory_bytes;
  in_task = 1;
  return 1;
}

void do_task(void) {
  long size;
  struct wf_reader reader;
  /* An earlier task may have asked the core and not waited for the reply. */
  do size = receive_job();
  while (size > 0 && wf_open(&reader, job_frame, (size_t)size) != WF_JOB);
  if (size <= 0) _exit(size == 0 ? 0 : 3);
  do_job(job_frame, (size_t)size, NULL, now_ns());
  _exit(0);
}
