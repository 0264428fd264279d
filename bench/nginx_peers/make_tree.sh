#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes a Debian 13 tree in DIR with the programs that huntd is compared with: nginx, its Lua module, fcgiwrap, LuaJIT.
#   make_tree.sh DIR      (as root)
# A tree, for on Debian 12 the Lua module wants another LuaJIT package than wrk and huntd's build do, and the two can't be
# installed side by side.
set -euo pipefail
exec "$(dirname "$0")/../../tests/harness/make_tree.sh" trixie "$1" \
  nginx libnginx-mod-http-lua lua-nginx-redis lua-cjson lua-socket fcgiwrap luajit
