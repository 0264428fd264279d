/* The memory of a Lua state: one range at one fixed address, handed out and taken back by an
 * allocator that keeps all of its own state inside. So a state is a run of bytes: it can be copied
 * out as an image and put back, in this process or in another of the same program
 * (docs/decisions/0007-vm-images.md).
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Far from where a program, its heap, its stack and its mappings are put. */
#define ARENA_BASE ((char*)0x200000000000)

/* What an image begins with. */
struct arena_head {
  char* top;         /* the first byte never given out */
  void* root;        /* whatever the user wants to find again: the Lua state */
  uint8_t build[20]; /* which program made it: pointers into that program's code are in it */
};

/* Maps the range, `bytes` long, empty. 0 where it can't. What was there before is gone. */
int arena_open(size_t bytes);
/* Fills the open range with an image of `bytes` at `offset` of a file. 0 where it can't be read, or
 * was made by another program. */
int arena_load(int file, size_t offset, size_t bytes);
/* The same from memory. */
int arena_restore(const void* image, size_t bytes);
struct arena_head* arena_begin(void);
/* The image: from ARENA_BASE, this long. */
size_t arena_image_bytes(void);
/* Gives back to the kernel what lies past an image of `image_bytes`, where that is much. */
void arena_trim(size_t image_bytes);

/* A lua_Alloc. Memory past the range's end is refused, which Lua tells the script. */
void* arena_alloc(void* unused, void* block, size_t old_bytes, size_t new_bytes);
