/* SPDX-License-Identifier: Apache-2.0 */
/* tests/jail runs this in place of hunt_worker: the same program in the same jail, with two more
 * functions for scripts, as if a script had broken out of the VM.
 *   hunt.syscall(NUMBER, ARGUMENT...)  makes any system call, with texts by their address; returns
 *                                      the result and errno
 *   hunt.send(BYTES)                   sends any packet to the core
 */
#define push_hunt push_real_hunt
#include "worker/hunt_api.c"
#undef push_hunt

#include <errno.h>
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

void push_hunt(lua_State* L, struct run* run) {
  push_real_hunt(L, run);
  lua_pushcfunction(L, any_call);
  lua_setfield(L, -2, "syscall");
  lua_pushcfunction(L, any_packet);
  lua_setfield(L, -2, "send");
}
