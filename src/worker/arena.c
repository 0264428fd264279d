/* SPDX-License-Identifier: Apache-2.0 */
/* Two kinds of blocks. Small blocks (at most 512 bytes) are cut from regions; freed ones are kept
 * in a list per size. Large blocks tile the range; each has its own size and the size of the block
 * before it, so that free neighbours are merged. Sizes are multiples of 16.
 */
#include "worker/arena.h"

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
  grain = 16,
  small_max = 512,
  region_bytes = 4096,
  bin_count = 48,   /* free large blocks, by the power of two below their size */
  bin_scan_max = 8, /* blocks that a search tries in the first bin */
  /* Less memory than this behind an image is not worth a system call. */
  trim_over_bytes = 256 * 1024
};

struct small_block {
  struct small_block* next;
};

struct large_block {
  size_t bytes;        /* header included; the lowest bit: in use */
  size_t before_bytes; /* size of the block before it; 0: it is the first */
  struct large_block* next;
  struct large_block* last;
};

enum { header_bytes = 16, in_use = 1 };

struct arena {
  struct arena_head head;
  size_t top_before_bytes; /* size of the block that ends at top */
  char* small_at;          /* the unused part of the current region of small blocks */
  char* small_end;
  struct small_block* small_free[small_max / grain + 1];
  struct large_block* bins[bin_count];
};

/* Not in the image: each job has its own limit. */
static size_t open_bytes;

static struct arena* the_arena(void) { return (struct arena*)ARENA_BASE; }
struct arena_head* arena_begin(void) {
  return &the_arena()->head;
}
static char* first_block(void) {
  return ARENA_BASE + ((sizeof(struct arena) + grain - 1) / grain * grain);
}

static size_t round_up(size_t bytes) { return (bytes + grain - 1) / grain * grain; }

/* --- the build id --- */
/* The linker's build id (ld(1), --build-id), from the program's own note. */
static const uint8_t* own_build(void) {
  static uint8_t id[sizeof the_arena()->head.build];
  static int known;
  if (known) return id;
  const Elf64_Phdr* headers = (const Elf64_Phdr*)getauxval(AT_PHDR);
  size_t const count = getauxval(AT_PHNUM);
  uintptr_t moved = 0; /* by a position-independent program (a unit test); hunt_worker is not */
  for (size_t i = 0; headers != NULL && i < count; ++i)
    if (headers[i].p_type == PT_PHDR) moved = (uintptr_t)headers - headers[i].p_vaddr;
  for (size_t i = 0; headers != NULL && i < count; ++i) {
    if (headers[i].p_type != PT_NOTE) continue;
    const char* at = (const char*)(moved + headers[i].p_vaddr);
    const char* const end = at + headers[i].p_memsz;
    while (at + sizeof(Elf64_Nhdr) <= end) {
      Elf64_Nhdr note;
      memcpy(&note, at, sizeof note);
      const char* const name = at + sizeof note;
      const char* const text = name + (note.n_namesz + 3) / 4 * 4;
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(name, "GNU", 4) == 0)
        memcpy(id, text, note.n_descsz < sizeof id ? note.n_descsz : sizeof id);
      at = text + (note.n_descsz + 3) / 4 * 4;
    }
  }
  known = 1;
  return id;
}

/* --- the range --- */

int arena_open(size_t bytes) {
  if (open_bytes != 0) munmap(ARENA_BASE, open_bytes);
  open_bytes = 0;
  if (bytes < sizeof(struct arena) + region_bytes) return 0;
  void* const got = mmap(ARENA_BASE, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (got != ARENA_BASE) return 0;
  open_bytes = bytes;
  arena_clear();
  return 1;
}

void arena_clear(void) {
  struct arena* const arena = the_arena();
  memcpy(arena->head.build, own_build(), sizeof arena->head.build);
  arena->head.top = first_block();
}

/* Bytes above the top that may be used. */
static size_t room(const struct arena* arena) {
  size_t const bound = arena->head.bound;
  size_t const end = bound > 0 && bound < open_bytes ? bound : open_bytes;
  size_t const used = (size_t)(arena->head.top - ARENA_BASE);
  return used < end ? end - used : 0;
}

static int is_ours(const struct arena_head* head, size_t bytes) {
  return bytes > sizeof(struct arena) && bytes <= open_bytes && head->top == ARENA_BASE + bytes &&
         memcmp(head->build, own_build(), sizeof head->build) == 0;
}

int arena_load(int file, size_t offset, size_t bytes) {
  if (bytes > open_bytes) return 0;
  for (size_t have = 0; have < bytes;) {
    ssize_t const got = pread(file, ARENA_BASE + have, bytes - have, (off_t)(offset + have));
    if (got <= 0) return 0;
    have += (size_t)got;
  }
  return is_ours(arena_begin(), bytes);
}

int arena_restore(const void* image, size_t bytes) {
  if (!is_ours(image, bytes)) return 0;
  memcpy(ARENA_BASE, image, bytes);
  return 1;
}

size_t arena_image_bytes(void) { return (size_t)(arena_begin()->top - ARENA_BASE); }

void arena_trim(size_t image_bytes) {
  char* const kept_end = ARENA_BASE + (image_bytes + 4095) / 4096 * 4096;
  char* const top = arena_begin()->top;
  if (top > kept_end + trim_over_bytes) madvise(kept_end, (size_t)(top - kept_end), MADV_DONTNEED);
}

/* --- large blocks --- */

static struct large_block* block_of(void* memory) {
  return (struct large_block*)((char*)memory - header_bytes);
}
static size_t bytes_of(const struct large_block* block) { return block->bytes & ~(size_t)in_use; }
static char* end_of(struct large_block* block) { return (char*)block + bytes_of(block); }

static int bin_of(size_t bytes) {
  int const power = 63 - __builtin_clzll(bytes);
  return power < bin_count ? power : bin_count - 1;
}

static void into_bin(struct arena* arena, struct large_block* block) {
  struct large_block** const bin = &arena->bins[bin_of(block->bytes)];
  block->last = NULL;
  block->next = *bin;
  if (*bin != NULL) (*bin)->last = block;
  *bin = block;
}

static void out_of_bin(struct arena* arena, struct large_block* block) {
  if (block->last != NULL)
    block->last->next = block->next;
  else
    arena->bins[bin_of(block->bytes)] = block->next;
  if (block->next != NULL) block->next->last = block->last;
}

/* Stores the size of `block` where the next block, or the top, has it. */
static void update_next(struct arena* arena, struct large_block* block) {
  if (end_of(block) == arena->head.top)
    arena->top_before_bytes = bytes_of(block);
  else
    ((struct large_block*)end_of(block))->before_bytes = bytes_of(block);
}

static void free_large(struct arena* arena, struct large_block* block) {
  block->bytes = bytes_of(block);
  if (end_of(block) != arena->head.top) {
    struct large_block* const after = (struct large_block*)end_of(block);
    if ((after->bytes & in_use) == 0) {
      out_of_bin(arena, after);
      block->bytes += after->bytes;
    }
  }
  if (block->before_bytes != 0) {
    struct large_block* const before = (struct large_block*)((char*)block - block->before_bytes);
    if ((before->bytes & in_use) == 0) {
      out_of_bin(arena, before);
      before->bytes += block->bytes;
      block = before;
    }
  }
  if (end_of(block) == arena->head.top) {
    arena->head.top = (char*)block;
    arena->top_before_bytes = block->before_bytes;
    return;
  }
  update_next(arena, block);
  into_bin(arena, block);
}

/* Splits off what a block in use has beyond `bytes`, if that is enough for a large block. */
static void cut(struct arena* arena, struct large_block* block, size_t bytes) {
  size_t const rest_bytes = bytes_of(block) - bytes;
  if (rest_bytes < small_max) return;
  block->bytes = bytes | in_use;
  struct large_block* const rest = (struct large_block*)end_of(block);
  rest->bytes = rest_bytes | in_use;
  rest->before_bytes = bytes;
  update_next(arena, rest);
  free_large(arena, rest);
}

static struct large_block* take_free(struct arena* arena, size_t bytes) {
  int bin = bin_of(bytes);
  int scanned = 0;
  for (struct large_block* block = arena->bins[bin]; block != NULL && scanned < bin_scan_max;
       block = block->next, ++scanned)
    if (block->bytes >= bytes) return block;
  while (++bin < bin_count)
    if (arena->bins[bin] != NULL) return arena->bins[bin];
  return NULL;
}

static void* alloc_large(struct arena* arena, size_t wanted_bytes) {
  size_t const bytes = round_up(wanted_bytes) + header_bytes;
  struct large_block* block = take_free(arena, bytes);
  if (block != NULL) {
    out_of_bin(arena, block);
    block->bytes |= in_use;
    cut(arena, block, bytes);
  } else {
    if (room(arena) < bytes) return NULL;
    block = (struct large_block*)arena->head.top;
    block->bytes = bytes | in_use;
    block->before_bytes = arena->top_before_bytes;
    arena->head.top += bytes;
    arena->top_before_bytes = bytes;
  }
  return (char*)block + header_bytes;
}

/* Grows or shrinks in place. Returns 0 if there is no room. */
static int resize_large(struct arena* arena, struct large_block* block, size_t wanted_bytes) {
  size_t const bytes = round_up(wanted_bytes) + header_bytes;
  if (bytes > bytes_of(block)) {
    if (end_of(block) == arena->head.top) {
      size_t const more = bytes - bytes_of(block);
      if (room(arena) < more) return 0;
      arena->head.top += more;
      block->bytes += more;
      arena->top_before_bytes = bytes;
      return 1;
    }
    struct large_block* const after = (struct large_block*)end_of(block);
    if ((after->bytes & in_use) != 0 || bytes_of(block) + after->bytes < bytes) return 0;
    out_of_bin(arena, after);
    block->bytes += after->bytes;
    update_next(arena, block);
  }
  cut(arena, block, bytes);
  return 1;
}

/* --- small blocks --- */

static void free_small(struct arena* arena, void* memory, size_t bytes) {
  struct small_block** const list = &arena->small_free[bytes / grain];
  struct small_block* const block = memory;
  block->next = *list;
  *list = block;
}

static void* alloc_small(struct arena* arena, size_t wanted_bytes) {
  size_t const bytes = round_up(wanted_bytes);
  struct small_block** const list = &arena->small_free[bytes / grain];
  if (*list != NULL) {
    struct small_block* const block = *list;
    *list = block->next;
    return block;
  }
  if ((size_t)(arena->small_end - arena->small_at) < bytes) {
    char* const region = alloc_large(arena, region_bytes - header_bytes);
    if (region == NULL) return NULL;
    if (arena->small_at < arena->small_end)
      free_small(arena, arena->small_at, (size_t)(arena->small_end - arena->small_at));
    arena->small_at = region;
    arena->small_end = region + region_bytes - header_bytes;
  }
  void* const block = arena->small_at;
  arena->small_at += bytes;
  return block;
}

/* --- the allocator for Lua --- */

static int is_small(size_t bytes) { return bytes <= small_max; }

static void release(struct arena* arena, void* memory, size_t bytes) {
  if (is_small(bytes))
    free_small(arena, memory, round_up(bytes));
  else
    free_large(arena, block_of(memory));
}

static void* obtain(struct arena* arena, size_t bytes) {
  if (bytes > open_bytes) return NULL;
  return is_small(bytes) ? alloc_small(arena, bytes) : alloc_large(arena, bytes);
}

void* arena_alloc(void* unused, void* memory, size_t old_bytes, size_t new_bytes) {
  (void)unused;
  struct arena* const arena = the_arena();
  if (memory == NULL || old_bytes == 0) return new_bytes == 0 ? NULL : obtain(arena, new_bytes);
  if (new_bytes == 0) {
    release(arena, memory, old_bytes);
    return NULL;
  }
  if (is_small(old_bytes) && is_small(new_bytes) && round_up(old_bytes) == round_up(new_bytes))
    return memory;
  if (!is_small(old_bytes) && !is_small(new_bytes) && new_bytes <= open_bytes &&
      resize_large(arena, block_of(memory), new_bytes))
    return memory;
  void* const moved = obtain(arena, new_bytes);
  if (moved == NULL) {
    /* Shrinking must not fail (lua_Alloc). */
    return new_bytes < old_bytes ? memory : NULL;
  }
  memcpy(moved, memory, old_bytes < new_bytes ? old_bytes : new_bytes);
  release(arena, memory, old_bytes);
  return moved;
}
