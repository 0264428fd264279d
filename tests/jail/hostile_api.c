/* SPDX-License-Identifier: Apache-2.0 */
/* tests/jail runs this in place of hunt_worker: the same program in the same jail, with two more
 * functions for scripts, as if a script had broken out of the VM; three about memory, for which
 * RANGE is two numbers, the first address and the one behind the last; and two about registers.
 *   hunt.syscall(NUMBER, ARGUMENT...)  makes any system call, with texts by their address; returns
 *                                      the result and errno
 *   hunt.send(BYTES)                   sends any packet to the core
 *   hunt.mark(BYTES, RANGE...)         marks every word of the ranges, its own stack included, sends
 *                                      the packet and ends the process
 *   hunt.marks(RANGE...)               how many words of the ranges have a mark
 *   hunt.find(HIGH, LOW, RANGE...)     how many words are that number; its halves are given inverted,
 *                                      so that the arguments are not found
 *   hunt.spoil()                       changes registers that a function leaves as they are
 *   hunt.registers()                   MXCSR, the control word of x87, the base of GS (its low half),
 *                                      and how many of xmm8 to xmm15 have what spoil() wrote
 */
#define push_hunt push_real_hunt
#include "worker/hunt_api.c"
#undef push_hunt

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

void push_hunt(lua_State* L, struct run* run);

static long argument(lua_State* L, int index) {
  if (lua_type(L, index) == LUA_TSTRING) return (long)lua_tostring(L, index);
  return (long)luaL_optnumber(L, index, 0);
}

static int any_call(lua_State* L) {
  errno = 0;
  long const result = syscall((long)luaL_checknumber(L, 1), argument(L, 2), argument(L, 3),
                              argument(L, 4), argument(L, 5), argument(L, 6), argument(L, 7));
  lua_pushnumber(L, (double)result);
  lua_pushnumber(L, errno);
  return 2;
}

static int any_packet(lua_State* L) {
  size_t size;
  const char* const bytes = luaL_checklstring(L, 1, &size);
  lua_pushnumber(L, (double)send(WF_SOCKET_DESCRIPTOR, bytes, size, MSG_NOSIGNAL));
  return 1;
}

/* --- memory --- */

enum { ranges_max = 32, packet_bytes_max = 256 };

struct ranges {
  size_t count;
  struct {
    uint64_t *begin, *end;
  } at[ranges_max];
};

static struct ranges read_ranges(lua_State* L, int first) {
  struct ranges ranges = {0};
  for (int i = first; i + 1 <= lua_gettop(L) && ranges.count < ranges_max; i += 2) {
    ranges.at[ranges.count].begin = (uint64_t*)(uintptr_t)luaL_checknumber(L, i);
    ranges.at[ranges.count++].end = (uint64_t*)(uintptr_t)luaL_checknumber(L, i + 1);
  }
  return ranges;
}

/* Different at each address, so no register or constant is one by chance. */
static inline uint64_t mark_of(const uint64_t* at) { return (uintptr_t)at ^ 0x6b72616d6b72616dULL; }

/* What this function still needs it has on its stack, between `low` and `high`. */
__attribute__((noinline)) static int mark(lua_State* L) {
  volatile struct {
    char packet[packet_bytes_max];
    size_t size;
    struct ranges ranges;
  } kept;
  size_t size;
  const char* const bytes = luaL_checklstring(L, 1, &size);
  if (size > packet_bytes_max) return luaL_error(L, "the packet is too long");
  for (size_t i = 0; i < size; ++i) kept.packet[i] = bytes[i];
  kept.size = size;
  struct ranges const ranges = read_ranges(L, 2);
  memcpy((void*)&kept.ranges, &ranges, sizeof ranges);
  uintptr_t const low = (uintptr_t)&kept - 512;
  uintptr_t const high = (uintptr_t)&kept + sizeof kept + 1024;
  for (size_t i = 0; i < kept.ranges.count; ++i)
    for (uint64_t volatile* at = kept.ranges.at[i].begin; at < kept.ranges.at[i].end; ++at)
      if ((uintptr_t)at < low || (uintptr_t)at >= high) *at = mark_of((const uint64_t*)at);
  /* No function of the library but this one: what it keeps in memory is gone. */
  syscall(SYS_sendto, WF_SOCKET_DESCRIPTOR, kept.packet, kept.size, MSG_NOSIGNAL, 0, 0);
  syscall(SYS_exit_group, 0);
  return 0;
}

static int marks(lua_State* L) {
  struct ranges const ranges = read_ranges(L, 1);
  long count = 0;
  for (size_t i = 0; i < ranges.count; ++i)
    for (const uint64_t* at = ranges.at[i].begin; at < ranges.at[i].end; ++at)
      if (*(const volatile uint64_t*)at == mark_of(at)) ++count;
  lua_pushnumber(L, (double)count);
  return 1;
}

static int find(lua_State* L) {
  uint64_t const inverted =
      (uint64_t)luaL_checknumber(L, 1) << 32 | (uint64_t)luaL_checknumber(L, 2);
  struct ranges const ranges = read_ranges(L, 3);
  long count = 0;
  for (size_t i = 0; i < ranges.count; ++i)
    for (const uint64_t* at = ranges.at[i].begin; at < ranges.at[i].end; ++at)
      if ((*(const volatile uint64_t*)at ^ inverted) == ~0ULL) ++count;
  lua_pushnumber(L, (double)count);
  return 1;
}

/* --- registers --- */

#if defined(__x86_64__)
enum {
  has_gs_base = 1 << 1
}; /* HWCAP2_FSGSBASE: the instructions for the base of GS may be used */

static const uint64_t spoiled[2] = {0x6b72616d6b72616dULL, 0x9e3779b97f4a7c15ULL};

/* Read at the start: a task does not have the stack with the auxiliary vector. */
static int may_use_gs_base;
__attribute__((constructor)) static void note_gs_base(void) {
  may_use_gs_base = (getauxval(AT_HWCAP2) & has_gs_base) != 0;
}

static int spoil(lua_State* L) {
  (void)L;
  uint32_t const toward_zero = 0x7f80;
  uint16_t const short_precision = 0x0c7f;
  __asm__ volatile("ldmxcsr %0" : : "m"(toward_zero));
  __asm__ volatile("fldcw %0" : : "m"(short_precision));
  if (may_use_gs_base) __asm__ volatile("wrgsbase %0" : : "r"((uint64_t)0x12345000));
  __asm__ volatile(
      "movdqu %0, %%xmm8\n\tmovdqa %%xmm8, %%xmm9\n\tmovdqa %%xmm8, %%xmm10\n\t"
      "movdqa %%xmm8, %%xmm11\n\tmovdqa %%xmm8, %%xmm12\n\tmovdqa %%xmm8, %%xmm13\n\t"
      "movdqa %%xmm8, %%xmm14\n\tmovdqa %%xmm8, %%xmm15"
      :
      : "m"(spoiled)
      : "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  return 0;
}

static int registers(lua_State* L) {
  uint64_t vectors[8][2];
  __asm__ volatile(
      "movdqu %%xmm8, (%0)\n\tmovdqu %%xmm9, 16(%0)\n\tmovdqu %%xmm10, 32(%0)\n\t"
      "movdqu %%xmm11, 48(%0)\n\tmovdqu %%xmm12, 64(%0)\n\tmovdqu %%xmm13, 80(%0)\n\t"
      "movdqu %%xmm14, 96(%0)\n\tmovdqu %%xmm15, 112(%0)"
      :
      : "r"(vectors)
      : "memory");
  uint32_t mxcsr = 0;
  uint16_t control = 0;
  uint64_t gs_base = 0;
  __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
  __asm__ volatile("fnstcw %0" : "=m"(control));
  if (may_use_gs_base) __asm__ volatile("rdgsbase %0" : "=r"(gs_base));
  int left = 0;
  for (size_t i = 0; i < 8; ++i) left += memcmp(vectors[i], spoiled, sizeof spoiled) == 0;
  lua_pushnumber(L, mxcsr & 0xffc0); /* without the flags of earlier results */
  lua_pushnumber(L, control);
  lua_pushnumber(L, (double)(uint32_t)gs_base);
  lua_pushnumber(L, left);
  return 4;
}
#endif

void push_hunt(lua_State* L, struct run* run) {
  push_real_hunt(L, run);
#if defined(__x86_64__)
  lua_pushcfunction(L, spoil);
  lua_setfield(L, -2, "spoil");
  lua_pushcfunction(L, registers);
  lua_setfield(L, -2, "registers");
#endif
  lua_pushcfunction(L, mark);
  lua_setfield(L, -2, "mark");
  lua_pushcfunction(L, marks);
  lua_setfield(L, -2, "marks");
  lua_pushcfunction(L, find);
  lua_setfield(L, -2, "find");
  lua_pushcfunction(L, any_call);
  lua_setfield(L, -2, "syscall");
  lua_pushcfunction(L, any_packet);
  lua_setfield(L, -2, "send");
}
