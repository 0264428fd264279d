#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes a bare Debian tree in DIR with these packages and what they depend on, for chroot or systemd-nspawn.
#   make_tree.sh RELEASE DIR PACKAGE...      (as root; does nothing if DIR has just these)
# The packages come from the machine's own Debian mirror, read from its apt sources. Nothing is fetched after that.
set -euo pipefail
release=$1
dir=$(mkdir -p "$2" && cd "$2" && pwd)
packages=${*:3}
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
echo "making a Debian tree ($release) in $dir, about two minutes; its log is $log" >&2
debootstrap --variant=minbase --keyring="$keyring" "$release" "$dir" "$mirror" >"$log" 2>&1 || { tail -n 5 "$log" >&2; exit 1; }
printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"  # nothing is started by its packages outside of a boot
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
rm -f "$dir/usr/sbin/policy-rc.d" "$dir/etc/resolv.conf"
: >"$dir/etc/machine-id"
chmod 755 "$dir"
echo "$packages" >"$stamp"
