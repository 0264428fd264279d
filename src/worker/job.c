#include "worker/job.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/arena.h"

/* In the program's own memory, not from malloc(): a birth is faster by a tenth without a heap. */
static struct run the_run; /* its address is in every image: push_hunt() */
/* The job; once it is done, its outcome. */
static LARGE unsigned char frame[WF_FRAME_BYTES_MAX];
static LARGE unsigned char answer_frame[WF_FRAME_BYTES_MAX];
static LARGE char script[WF_SCRIPT_BYTES_MAX];
static LARGE struct texts the_texts;

static const char no_memory[] = "there is no memory of worker.memory_bytes to be had";

/* The whole bundle, in a worker of many jobs. */
static const char* bundle;
static size_t bundle_bytes;

void set_reason(struct run* run, const char* text, size_t size) {
  if (size > sizeof run->texts->reason) size = sizeof run->texts->reason;
  memcpy(run->texts->reason, text, size);
  run->outcome.reason.data = run->texts->reason;
  run->outcome.reason.size = (uint32_t)size;
}

static void refuse(struct run* run, const char* why) {
  run->outcome.status = WF_BAD_JOB;
  set_reason(run, why, strlen(why));
}

static void tell(const unsigned char* packet, size_t size) {
  if (size == 0 || send(core_socket, packet, size, MSG_NOSIGNAL) != (ssize_t)size) _exit(3);
}

void ask(const unsigned char* question, size_t size, enum wf_type want, struct wf_reader* answer) {
  tell(question, size);
  ssize_t length;
  do length = recv(core_socket, answer_frame, sizeof answer_frame, 0);
  while (length < 0 && errno == EINTR);
  if (length <= 0 || wf_open(answer, answer_frame, (size_t)length) != (int)want) _exit(3);
}

/* Reads the hunt's source from the bundle; 0 where it can't. */
static int read_script(const struct wf_job* job) {
  size_t have = 0;
  while (have < job->script_bytes) {
    ssize_t const got = pread(bundle_descriptor, script + have, job->script_bytes - have,
                              (off_t)(job->script_offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    have += (size_t)got;
  }
  return 1;
}

static void map_bundle(void) {
  off_t const size = lseek(bundle_descriptor, 0, SEEK_END); /* the filter knows no fstat() */
  if (size <= 0) return;
  void* const mapped = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, bundle_descriptor, 0);
  if (mapped == MAP_FAILED) return;
  bundle = mapped;
  bundle_bytes = (size_t)size;
}

/* The memory for this job's script. 0 where there is none. */
static int open_memory(const struct wf_job* job) {
  static uint64_t open_bytes;
  int const more = (job->flags & WF_JOB_MORE) != 0;
  if (open_bytes == job->memory_bytes) {
    if (more) bound_next_job();
    return 1;
  }
  if (more && bundle == NULL) map_bundle();
  if (open_bytes == 0) drop_rights(job->memory_bytes, bundle_bytes, more);
  if (more) bound_next_job();
  open_bytes = job->memory_bytes;
  return arena_open(job->memory_bytes);
}

/* The state, from its image where there is one. 0 where the outcome says what is wrong. */
static int load_state(struct run* run) {
  const struct wf_job* job = &run->job;
  if (job->image_bytes == 0) {
    if (!read_script(job)) {
      refuse(run, "the bundle can't be read");
      return 0;
    }
    /* The state of an earlier job may still be there. */
    if (!arena_open(job->memory_bytes)) {
      refuse(run, no_memory);
      return 0;
    }
    prepare_script(run, script, job->script_bytes);
    return run->outcome.status == WF_OK;
  }
  size_t const end = (size_t)job->image_offset + job->image_bytes;
  int const loaded =
      bundle == NULL
          ? arena_load(bundle_descriptor, job->image_offset, job->image_bytes)
          : end <= bundle_bytes && arena_restore(bundle + job->image_offset, job->image_bytes);
  if (!loaded) refuse(run, "the image is no image of this program's");
  return loaded;
}

/* For WF_JOB_CHECK: the image, in pieces. */
static void tell_image(struct run* run) {
  size_t const size = arena_image_bytes();
  if (size > WF_IMAGE_BYTES_MAX) {
    run->outcome.status = WF_OUT_OF_MEMORY;
    static const char why[] =
        ": what its top level makes takes more than 8388608 bytes; make it inside the function";
    char text[WF_ID_BYTES_MAX + 8 + sizeof why];
    size_t const id_size = run->job.hunt_id.size;
    memcpy(text, run->job.hunt_id.data, id_size);
    memcpy(text + id_size, ".lua", 4);
    memcpy(text + id_size + 4, why, sizeof why - 1);
    set_reason(run, text, id_size + 4 + sizeof why - 1);
    return;
  }
  for (size_t told = 0; told < size;) {
    size_t piece = size - told;
    if (piece > WF_IMAGE_PIECE_BYTES) piece = WF_IMAGE_PIECE_BYTES;
    struct wf_writer writer = wf_begin(frame, sizeof frame, WF_IMAGE);
    wf_put(&writer, ARENA_BASE + told, piece);
    tell(frame, wf_end(&writer));
    told += piece;
  }
}

int do_job(const unsigned char* packet, size_t size, const char* hunter_id, uint64_t began_at_ns) {
  struct run* run = &the_run;
  run->texts = &the_texts;
  struct wf_job* job = &run->job;
  memset(&run->outcome, 0, sizeof run->outcome);
  run->rejected = 0;
  run->outcome.started_at_ns = began_at_ns;
  struct wf_reader reader;
  int const readable = wf_open(&reader, packet, size) == WF_JOB && wf_read_job(&reader, job);
  int const for_us =
      readable &&
      (hunter_id == NULL || (job->hunter_id.size == strlen(hunter_id) &&
                             memcmp(job->hunter_id.data, hunter_id, job->hunter_id.size) == 0));
  if (!for_us)
    refuse(run, "the job is not for this worker");
  else if (!open_memory(job))
    refuse(run, no_memory);
  else if (load_state(run)) {
    if ((job->flags & WF_JOB_CHECK) != 0)
      tell_image(run);
    else
      run_script(run);
  }
  int const more = for_us && (job->flags & WF_JOB_MORE) != 0;
  tell(frame, wf_write_outcome(frame, sizeof frame, &run->outcome));
  if (more && job->image_bytes > 0) arena_trim(job->image_bytes);
  return more;
}

void serve_jobs(const char* hunter_id, uint64_t began_at_ns) {
  for (;;) {
    ssize_t length;
    do length = recv(core_socket, frame, sizeof frame, 0);
    while (length < 0 && errno == EINTR);
    /* A spare is told like this that it may go. */
    if (length <= 0) _exit(length == 0 && hunter_id == NULL ? 0 : 3);
    if (hunter_id == NULL) began_at_ns = now_ns();
    if (!do_job(frame, (size_t)length, hunter_id, began_at_ns)) break;
  }
  _exit(0); /* the kernel frees the state faster than we could */
}
