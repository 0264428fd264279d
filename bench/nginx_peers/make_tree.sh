#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes a Debian 13 tree in DIR with the programs that huntd is compared with: nginx, its Lua module, fcgiwrap, LuaJIT.
#   make_tree.sh DIR      (as root)
# A tree, for on Debian 12 the Lua module wants another LuaJIT package than wrk and huntd's build do, and the two can't be
# installed side by side. The packages come from the machine's own Debian mirror, read from its apt sources.
set -euo pipefail
packages="nginx libnginx-mod-http-lua lua-nginx-redis lua-cjson lua-socket fcgiwrap luajit"
dir=$(mkdir -p "$1" && cd "$1" && pwd)
stamp=$dir/built-for
[ "$(cat "$stamp" 2>/dev/null)" = "$packages" ] && exit 0

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(
  for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    [ -s "$file" ] || continue
    sed -E -n -e 's/^URIs:[[:space:]]*([^[:space:]]+).*/\1/p' \
      -e 's/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' "$file"
  done | awk '!/security/ && !found { print; found = 1 }')
[ -n "$mirror" ] || { echo "no Debian mirror in /etc/apt/sources.list or sources.list.d/debian.sources" >&2; exit 1; }

rm -rf --one-file-system "$dir"; mkdir -p "$dir"  # debootstrap mounts /proc in there for a while
log=$dir.log
echo "making a Debian 13 tree in $dir, a minute or two; its log is $log" >&2
debootstrap --variant=minbase --keyring="$keyring" trixie "$dir" "$mirror" >"$log" 2>&1 || { tail -n 5 "$log" >&2; exit 1; }
printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"  # nothing is started in there by its packages
chmod 755 "$dir/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$dir/etc/resolv.conf"
for file in /etc/apt/apt.conf /etc/apt/apt.conf.d/*proxy*; do
  if [ -s "$file" ]; then cp "$file" "$dir/etc/apt/apt.conf.d/"; fi
done
for try in 1 2 3; do
  # shellcheck disable=SC2086
  if chroot "$dir" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -y --no-install-recommends install $packages >>"$log" 2>&1
  then break; fi
  [ $try = 3 ] && { tail -n 5 "$log" >&2; exit 1; }
  sleep $((try * 3))
done
chroot "$dir" apt-get clean
chmod 755 "$dir"
echo "$packages" >"$stamp"
