#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds a static LuaJIT against musl from Debian's own source package, into DIR/libluajit.a and DIR/include.
#   build_luajit_musl.sh DIR
# Exit 0: built (or already there); 3: the musl tools or the source package can't be had (the reason is on stderr).
# The source comes by a private sources list made from the machine's own, which stays as it is.
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
stamp=$dir/built-for
version=$(dpkg-query -W -f '${Version}' libluajit-5.1-dev 2>/dev/null || true)
[ -n "$version" ] || { echo "libluajit-5.1-dev is not installed" >&2; exit 3; }
[ "$(cat "$stamp" 2>/dev/null)" = "$version 4" ] && exit 0
command -v musl-gcc >/dev/null || { echo "musl-gcc is not installed (package musl-tools)" >&2; exit 3; }
command -v dpkg-source >/dev/null || { echo "dpkg-source is not installed (package dpkg-dev)" >&2; exit 3; }

work=$dir/work
rm -rf "$work"; mkdir -p "$work/lists/partial" "$work/parts"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
  [ -s "$file" ] || continue
  case $file in
    *.sources) sed -E 's/^Types:.*/Types: deb-src/' "$file" >"$work/parts/debian.sources" ;;
    *) sed -E -n 's/^deb(-src)?[[:space:]]/deb-src /p' "$file" | sort -u >"$work/parts/debian.list" ;;
  esac
done
apt=(apt-get -qq -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts"
     -o Dir::State::Lists="$work/lists" -o APT::Sandbox::User=root)
cd "$work"
for try in 1 2 3; do
  if "${apt[@]}" update >update.log 2>&1 && "${apt[@]}" source --download-only "luajit=$version" >source.log 2>&1; then break; fi
  [ $try = 3 ] && { echo "Debian's source package luajit $version can't be fetched: $(tail -n 1 source.log update.log 2>/dev/null | tr '\n' ' ')" >&2; exit 3; }
  sleep $((try * 2))
done
dpkg-source --no-check -x luajit_*.dsc source >unpack.log
# No compiler: it is never on (decision 6), and half of the program would be it.
# No randomness: the same script with the same seed walks its tables in the same order, on every host.
# Its debug information has no path of this machine: a package has the same bytes wherever it is built.
# The unwinder inside LuaJIT: libgcc's wants _dl_find_object, which musl does not have.
make -s -C source/src -j2 CC=musl-gcc HOST_CC=gcc BUILDMODE=static \
  XCFLAGS="-ffile-prefix-map=$work/source=luajit -DLUAJIT_SECURITY_PRNG=0 -DLUAJIT_SECURITY_STRHASH=0 -DLUAJIT_SECURITY_STRID=0 -DLUAJIT_DISABLE_FFI -DLUAJIT_DISABLE_JIT -DLUAJIT_NO_UNWIND" \
  libluajit.a >make.log 2>&1 || { tail -n 20 make.log >&2; exit 1; }
mkdir -p "$dir/include"
cp source/src/{lua,lauxlib,lualib,luaconf,luajit}.h "$dir/include/"
cp source/src/libluajit.a "$dir/libluajit.a"
cd "$dir"; rm -rf "$work"
echo "$version 4" >"$stamp"
