/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a Lua state: one range at a fixed address, with an allocator whose own state is in
 * the range too. So a Lua state is a sequence of bytes: it can be copied as an image and restored,
 * in this process or in another one of the same program (docs/decisions/0007-vm-images.md).
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Far from a program, its heap, its stack and its mappings. */
#define ARENA_BASE ((char*)0x200000000000)

/* The first bytes of an image. */
struct arena_head {
  char* top;         /* the first byte that was never allocated */
  void* root;        /* the user's: the Lua state */
  uint8_t build[20]; /* build id of the program: the image has pointers into that program's code */
  size_t bound; /* bytes from ARENA_BASE that may be used, if fewer than are open; 0: no bound */
};

/* Maps an empty range of `bytes`, in place of an earlier one. Returns 0 on failure. */
int arena_open(size_t bytes);

/* Makes an open range that is all zeros an empty one. */
void arena_clear(void);

/* Fills the open range with an image of `bytes` at `offset` of a file. Returns 0 if the image
 * cannot be read or was made by another program; then the range must be opened again.
 */
int arena_load(int file, size_t offset, size_t bytes);

/* The same from memory; on failure nothing changes. */
int arena_restore(const void* image, size_t bytes);

/* REQUIRES: the range is open. */
struct arena_head* arena_begin(void);

/* The size of the image that begins at ARENA_BASE. */
size_t arena_image_bytes(void);

/* Returns the memory behind an image of `image_bytes` to the kernel, if it is more than 256 KiB. */
void arena_trim(size_t image_bytes);

/* A lua_Alloc. Returns null if the range is full, which Lua reports as a memory error. */
void* arena_alloc(void* unused, void* block, size_t old_bytes, size_t new_bytes);
