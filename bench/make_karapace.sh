#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs Karapace, the REST proxy that huntd's produce call is compared with, into DIR/venv.
#   make_karapace.sh DIR
# From the source that $HUNTD_KARAPACE_SOURCE names (a checkout of the public repository, at 3.16.0: the last whose parts are
# all Python's), else from PyPI, which had no package of that name in November 2026. If it is unavailable, DIR/why-not has the reason
# and nothing is installed: the test is skipped and the benchmark omits the peer, both with that text.
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
source=${HUNTD_KARAPACE_SOURCE:-}
log=$dir/log
why_not() { rm -rf "$dir/venv"; echo "$1" >"$dir/why-not"; echo "no Karapace: $1" >&2; exit 0; }

[ ! -x "$dir/venv/bin/karapace" ] || exit 0
rm -rf "$dir/venv" "$dir/why-not"
/usr/bin/python3 -m venv "$dir/venv" >"$log" 2>&1 || why_not "python3 -m venv fails: $(tail -n 1 "$log") (Debian package python3-venv)"
pip=$dir/venv/bin/pip
if [ -z "$source" ]; then
  "$pip" install -q karapace >>"$log" 2>&1 || why_not "PyPI has no karapace; HUNTD_KARAPACE_SOURCE=CHECKOUT ./dev setup peers installs it from its source"
  exit 0
fi
[ -f "$source/requirements/requirements.txt" ] || why_not "$source/requirements/requirements.txt is missing: is it Karapace 3.16.0?"
# Its own fork of avro is on no registry; records of JSON need no avro.
sed -e 's/^avro @.*/avro/' "$source/requirements/requirements.txt" >"$dir/requirements.txt"
"$pip" install -q -r "$dir/requirements.txt" >>"$log" 2>&1 || why_not "pip can't install its requirements: $(tail -n 1 "$log")"
"$pip" install -q wheel >>"$log" 2>&1 || why_not "pip can't install wheel: $(tail -n 1 "$log")"
KARAPACE_VERSION=3.16.0 "$pip" install -q --no-deps --no-build-isolation "$source" >>"$log" 2>&1 || why_not "pip can't install $source: $(tail -n 1 "$log")"
