/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between a core and its hunt_worker (docs/formats/worker-frames.md). C, since the worker is
 * C; included by both sides. One frame is one packet on a SOCK_SEQPACKET socket: a header, then the
 * payload. Numbers are little-endian, as on all machines that huntd runs on. A text is a u32 length
 * and its bytes. A reader does not trust the other side: once it has read beyond the end or found
 * an invalid value, it stays failed.
 */
#pragma once
#include <stdint.h>
#include <string.h>

enum {
  WF_MAGIC = 0x544e5548, /* "HUNT" */
  WF_VERSION = 4,
  WF_HEADER_BYTES = 12,
  WF_FRAME_BYTES_MAX = 96 * 1024,
  WF_IMAGE_PIECE_BYTES = 64 * 1024,
  WF_IMAGE_BYTES_MAX = 8 * 1024 * 1024,
  WF_ID_BYTES_MAX = 64,
  WF_SCRIPT_BYTES_MAX = 256 * 1024,
  WF_AWARDS_MAX = 32,
  WF_LEFT_ASKED_MAX = 32,
  WF_LOOT_UNITS_MAX = 1000000,
  WF_STATE_BYTES_MAX = 4 * 1024,
  WF_SUPPLY_LIMIT_MAX = 1000000000,
  WF_HELD_LOOT_MAX = 1024,
  WF_RESULT_BYTES_MAX = 16 * 1024,
  WF_REASON_BYTES_MAX = 512,
  WF_LOG_BYTES_MAX = 4 * 1024,
  WF_JSON_DEPTH_MAX = 32,
};

/* Descriptors that a worker inherits. */
enum { WF_SOCKET_DESCRIPTOR = 3, WF_BUNDLE_DESCRIPTOR = 4 };
/* The worker's argument in place of a hunter_id; not valid as one. */
#define WF_ARGUMENT_IDLE "*" /* the hunter comes with the job */
#define WF_ARGUMENT_ZYGOTE "*zygote"
#define WF_ARGUMENT_HOLDER "*holder" /* each job runs in a task of its own */
#define WF_ARGUMENT_TASKS "*tasks"   /* exits at once, with status 0 if it can be a holder */

enum wf_type {
  WF_JOB = 1,          /* core -> worker: the first frame */
  WF_ASK_HELD = 2,     /* worker -> core: asks for the hunter's loot; no payload */
  WF_REPLY_HELD = 3,   /* core -> worker: u32 n, then n times (text loot_id, u64 count) */
  WF_ASK_SUPPLY = 4,   /* worker -> core: u32 position, text loot_id, u64 limit */
  WF_REPLY_SUPPLY = 5, /* core -> worker: u8 1 granted, 0 gone */
  WF_OUTCOME = 6,      /* worker -> core: the last frame of a job */
  WF_IMAGE = 7,        /* worker -> core: a piece of the image, before WF_JOB_CHECK's outcome */
  WF_CLEAN = 8,        /* holder -> core: the job's task has ended, and nothing of it is left */
  WF_ASK_PLAY = 9,     /* worker -> huntctl: text JSON; of a WF_JOB_TEST only */
  WF_REPLY_PLAY = 10,  /* huntctl -> worker: text, which is a value (wire/value.h) */
  WF_ASK_STATE = 11,   /* worker -> core: asks for what the script keeps; no payload */
  WF_REPLY_STATE = 12, /* core -> worker: text, which is a value, or empty: nothing is kept */
  WF_ASK_LEFT = 13,    /* worker -> core: text loot_id, u64 limit; WF_LEFT_ASKED_MAX per job */
  WF_REPLY_LEFT = 14,  /* core -> worker: u64 units left, at most the limit */
};

enum wf_status {
  WF_OK = 0,
  WF_REJECTED = 1,     /* hunt.reject(reason) */
  WF_SCRIPT_ERROR = 2, /* reason: "file.lua:LINE: message" */
  WF_OUT_OF_MEMORY = 3,
  WF_BAD_JOB = 4, /* the worker could not read its job or its bundle; not the script's error */
};

enum {
  /* Compile the script, check that it returns a function, and send the image; do not call it. */
  WF_JOB_CHECK = 1,
  WF_JOB_MORE = 2, /* another job may follow on this socket: do not exit after the outcome */
  WF_JOB_TEST = 4, /* of a test script, which has hunt.play: no core sends it */
  /* The worker runs only if no other process wants the CPU. Not with WF_JOB_MORE, nor for a holder. */
  WF_JOB_YIELD = 8,
};
/* The status of an outcome that is WF_OK and has a state. */
enum { WF_STATUS_STATE = 0x100 };
enum {
  WF_AWARD_LIMITED = 1, /* granted by WF_REPLY_SUPPLY; it is of one unit */
  WF_AWARD_UNITS = 2,   /* the number of units follows; otherwise it is 1 */
  WF_AWARD_TAKE = 4,    /* the units are taken from the hunter */
};

struct wf_text {
  const char* data;
  uint32_t size;
};

struct wf_job {
  uint32_t flags;
  uint64_t seed[2];
  int64_t now_ms;         /* since the Unix epoch: hunt.now */
  uint64_t memory_bytes;  /* size of the arena: the memory that the script may use */
  uint32_t script_offset; /* the hunt's source in the bundle */
  uint32_t script_bytes;
  uint32_t image_offset; /* its image in the bundle */
  uint32_t image_bytes;  /* 0: no image, compile the script */
  struct wf_text hunt_id;
  struct wf_text hunter_id;
  struct wf_text input; /* a value (wire/value.h); empty: none */
};

struct wf_award {
  struct wf_text loot_id;
  uint8_t flags;
  uint32_t units; /* 0 counts as 1 */
};

/* What the award gives; below 0: what it takes. */
static inline int32_t wf_units(const struct wf_award* award) {
  int32_t const units = award->units > 1 ? (int32_t)award->units : 1;
  return (award->flags & WF_AWARD_TAKE) != 0 ? -units : units;
}

struct wf_outcome {
  uint32_t status;
  uint64_t started_at_ns;     /* CLOCK_MONOTONIC at the first instruction of main */
  uint64_t vm_ready_at_ns;    /* just before the script runs */
  uint64_t script_done_at_ns; /* just after */
  uint32_t award_count;
  struct wf_award awards[WF_AWARDS_MAX];
  struct wf_text result; /* JSON; WF_OK only */
  struct wf_text reason; /* not with WF_OK */
  struct wf_text log;    /* lines of hunt.log, each ended by a newline */
  /* What the script keeps, as JSON. WF_OK and after a WF_ASK_STATE only; else its data is NULL. */
  struct wf_text state;
};

/* The payload of WF_CLEAN; its layout is the frame's. Only a holder and its core know the key, so a
 * script that took its task over can't send one.
 */
struct wf_clean {
  uint64_t key;
  uint32_t wait_status; /* of the task, as waitpid(2) */
};
enum { WF_CLEAN_BYTES = WF_HEADER_BYTES + 8 + 4 };

/* --- writing --- */

struct wf_writer {
  unsigned char* begin;
  unsigned char* at;
  unsigned char* end;
  int failed; /* out of space */
};

static inline void wf_put(struct wf_writer* w, const void* bytes, size_t size) {
  if (w->failed || (size_t)(w->end - w->at) < size) {
    w->failed = 1;
    return;
  }
  if (size > 0) memcpy(w->at, bytes, size);
  w->at += size;
}
static inline void wf_put_u8(struct wf_writer* w, uint8_t value) {
  wf_put(w, &value, sizeof value);
}
static inline void wf_put_u32(struct wf_writer* w, uint32_t value) {
  wf_put(w, &value, sizeof value);
}
static inline void wf_put_u64(struct wf_writer* w, uint64_t value) {
  wf_put(w, &value, sizeof value);
}
static inline void wf_put_text(struct wf_writer* w, const char* data, size_t size) {
  wf_put_u32(w, (uint32_t)size);
  wf_put(w, data, size);
}

/* Starts a frame in `buffer`. */
static inline struct wf_writer wf_begin(void* buffer, size_t size, enum wf_type type) {
  struct wf_writer w;
  uint32_t const magic = WF_MAGIC;
  uint16_t const version = WF_VERSION;
  uint16_t const type16 = (uint16_t)type;
  uint32_t const length = 0;
  w.begin = (unsigned char*)buffer;
  w.at = w.begin;
  w.end = w.begin + size;
  w.failed = 0;
  wf_put(&w, &magic, sizeof magic);
  wf_put(&w, &version, sizeof version);
  wf_put(&w, &type16, sizeof type16);
  wf_put(&w, &length, sizeof length);
  return w;
}

/* Ends the frame. Returns its length with header; 0 if it did not fit. */
static inline size_t wf_end(struct wf_writer* w) {
  if (w->failed) return 0;
  uint32_t const length = (uint32_t)(w->at - w->begin) - WF_HEADER_BYTES;
  memcpy(w->begin + 8, &length, sizeof length);
  return (size_t)(w->at - w->begin);
}

static inline size_t wf_write_job(void* buffer, size_t size, const struct wf_job* job) {
  struct wf_writer w = wf_begin(buffer, size, WF_JOB);
  wf_put_u32(&w, job->flags);
  wf_put_u64(&w, job->seed[0]);
  wf_put_u64(&w, job->seed[1]);
  wf_put_u64(&w, (uint64_t)job->now_ms);
  wf_put_u64(&w, job->memory_bytes);
  wf_put_u32(&w, job->script_offset);
  wf_put_u32(&w, job->script_bytes);
  wf_put_u32(&w, job->image_offset);
  wf_put_u32(&w, job->image_bytes);
  wf_put_text(&w, job->hunt_id.data, job->hunt_id.size);
  wf_put_text(&w, job->hunter_id.data, job->hunter_id.size);
  wf_put_text(&w, job->input.data, job->input.size);
  return wf_end(&w);
}

static inline size_t wf_write_outcome(void* buffer, size_t size, const struct wf_outcome* outcome) {
  struct wf_writer w = wf_begin(buffer, size, WF_OUTCOME);
  wf_put_u32(&w, outcome->state.data != NULL ? (uint32_t)WF_STATUS_STATE : outcome->status);
  wf_put_u64(&w, outcome->started_at_ns);
  wf_put_u64(&w, outcome->vm_ready_at_ns);
  wf_put_u64(&w, outcome->script_done_at_ns);
  wf_put_u32(&w, outcome->award_count);
  for (uint32_t i = 0; i < outcome->award_count; ++i) {
    wf_put_text(&w, outcome->awards[i].loot_id.data, outcome->awards[i].loot_id.size);
    uint32_t const units = outcome->awards[i].units;
    uint8_t const flags = outcome->awards[i].flags & (uint8_t)~WF_AWARD_UNITS;
    wf_put_u8(&w, units > 1 ? flags | WF_AWARD_UNITS : flags);
    if (units > 1) wf_put_u32(&w, units);
  }
  wf_put_text(&w, outcome->result.data, outcome->result.size);
  wf_put_text(&w, outcome->reason.data, outcome->reason.size);
  wf_put_text(&w, outcome->log.data, outcome->log.size);
  if (outcome->state.data != NULL) wf_put_text(&w, outcome->state.data, outcome->state.size);
  return wf_end(&w);
}

/* --- reading --- */

struct wf_reader {
  const unsigned char* at;
  const unsigned char* end;
  int failed;
};

static inline void wf_get(struct wf_reader* r, void* into, size_t size) {
  if (r->failed || (size_t)(r->end - r->at) < size) {
    r->failed = 1;
    memset(into, 0, size);
    return;
  }
  memcpy(into, r->at, size);
  r->at += size;
}
static inline uint8_t wf_get_u8(struct wf_reader* r) {
  uint8_t value;
  wf_get(r, &value, sizeof value);
  return value;
}
static inline uint32_t wf_get_u32(struct wf_reader* r) {
  uint32_t value;
  wf_get(r, &value, sizeof value);
  return value;
}
static inline uint64_t wf_get_u64(struct wf_reader* r) {
  uint64_t value;
  wf_get(r, &value, sizeof value);
  return value;
}
/* Reads a text of at most `max` bytes; it points into the frame. */
static inline struct wf_text wf_get_text(struct wf_reader* r, uint32_t max) {
  struct wf_text text = {"", 0};
  uint32_t const size = wf_get_u32(r);
  if (r->failed || size > max || (size_t)(r->end - r->at) < size) {
    r->failed = 1;
    return text;
  }
  text.data = (const char*)r->at;
  text.size = size;
  r->at += size;
  return text;
}
/* Whether it is an id: 1 to 64 of [A-Za-z0-9_.-]. */
static inline int wf_is_id(struct wf_text text) {
  if (text.size == 0 || text.size > WF_ID_BYTES_MAX) return 0;
  for (uint32_t i = 0; i < text.size; ++i) {
    char const c = text.data[i];
    int const fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '.' || c == '-';
    if (!fine) return 0;
  }
  return 1;
}
static inline struct wf_text wf_get_id(struct wf_reader* r) {
  struct wf_text const text = wf_get_text(r, WF_ID_BYTES_MAX);
  if (!wf_is_id(text)) r->failed = 1;
  return text;
}

/* Opens a packet. Returns its type; 0 if its magic, version or length is wrong. */
static inline int wf_open(struct wf_reader* r, const void* packet, size_t size) {
  uint32_t magic = 0;
  uint16_t version = 0;
  uint16_t type = 0;
  r->at = (const unsigned char*)packet;
  r->end = r->at + size;
  r->failed = 0;
  wf_get(r, &magic, sizeof magic);
  wf_get(r, &version, sizeof version);
  wf_get(r, &type, sizeof type);
  uint32_t const length = wf_get_u32(r);
  if (r->failed || magic != WF_MAGIC || version != WF_VERSION ||
      length != (size_t)(r->end - r->at)) {
    r->failed = 1;
    return 0;
  }
  return type;
}
/* Whether the whole payload was read, without an error. */
static inline int wf_all_read(const struct wf_reader* r) { return !r->failed && r->at == r->end; }

/* Reads a job. Returns 0 if it is malformed. REQUIRES: wf_open() returned WF_JOB. */
static inline int wf_read_job(struct wf_reader* r, struct wf_job* job) {
  job->flags = wf_get_u32(r);
  job->seed[0] = wf_get_u64(r);
  job->seed[1] = wf_get_u64(r);
  job->now_ms = (int64_t)wf_get_u64(r);
  job->memory_bytes = wf_get_u64(r);
  job->script_offset = wf_get_u32(r);
  job->script_bytes = wf_get_u32(r);
  job->image_offset = wf_get_u32(r);
  job->image_bytes = wf_get_u32(r);
  if (job->script_bytes > WF_SCRIPT_BYTES_MAX) r->failed = 1;
  job->hunt_id = wf_get_id(r);
  job->hunter_id = wf_get_id(r);
  job->input = wf_get_text(r, WF_FRAME_BYTES_MAX);
  return wf_all_read(r);
}

/* Reads a WF_CLEAN. Returns 0 if it is malformed. REQUIRES: wf_open() returned WF_CLEAN. */
static inline int wf_read_clean(struct wf_reader* r, struct wf_clean* clean) {
  clean->key = wf_get_u64(r);
  clean->wait_status = wf_get_u32(r);
  return wf_all_read(r);
}

/* Reads an outcome, whose texts point into the packet. Returns 0 if it is malformed.
 * REQUIRES: wf_open() returned WF_OUTCOME.
 */
static inline int wf_read_outcome(struct wf_reader* r, struct wf_outcome* outcome) {
  uint32_t const status = wf_get_u32(r);
  int const has_state = status == WF_STATUS_STATE;
  outcome->status = has_state ? (uint32_t)WF_OK : status;
  if (outcome->status > WF_BAD_JOB) r->failed = 1;
  outcome->started_at_ns = wf_get_u64(r);
  outcome->vm_ready_at_ns = wf_get_u64(r);
  outcome->script_done_at_ns = wf_get_u64(r);
  outcome->award_count = wf_get_u32(r);
  if (outcome->award_count > WF_AWARDS_MAX) {
    r->failed = 1;
    outcome->award_count = 0;
  }
  for (uint32_t i = 0; i < outcome->award_count; ++i) {
    outcome->awards[i].loot_id = wf_get_id(r);
    uint8_t const flags = wf_get_u8(r);
    uint32_t const units = (flags & WF_AWARD_UNITS) != 0 ? wf_get_u32(r) : 1;
    int const single = (flags & WF_AWARD_LIMITED) != 0;
    if (units == 0 || units > WF_LOOT_UNITS_MAX || (single && flags != WF_AWARD_LIMITED) ||
        flags > (WF_AWARD_UNITS | WF_AWARD_TAKE))
      r->failed = 1;
    outcome->awards[i].flags = flags;
    outcome->awards[i].units = units;
  }
  outcome->result = wf_get_text(r, WF_RESULT_BYTES_MAX);
  outcome->reason = wf_get_text(r, WF_REASON_BYTES_MAX);
  outcome->log = wf_get_text(r, WF_LOG_BYTES_MAX);
  struct wf_text const none = {NULL, 0};
  outcome->state = has_state ? wf_get_text(r, WF_STATE_BYTES_MAX) : none;
  return wf_all_read(r);
}
