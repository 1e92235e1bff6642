#!/bin/sh
# deps.sh - installs what a fresh Debian 12 lacks to build and test Swage. Does nothing when all is there.
# SPDX-License-Identifier: Apache-2.0
set -eu
required="gcc libc6-dev make cmake pkg-config libhdf5-dev zlib1g-dev libyaml-dev libcjson-dev libcmocka-dev"
optional="libpng-dev libtiff-dev libsndfile1-dev libsoxr-dev libdnnl-dev clang libclang-rt-14-dev hdf5-tools"
missing() { for p in "$@"; do dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null | grep -q '^ii' || printf ' %s' "$p"; done; }
if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "deps: not a Debian system; needed:$required; optional: $optional" >&2
    exit 0
fi
need=$(missing $required)
want=$(missing $optional)
[ -n "$need$want" ] || exit 0
run=""
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        [ -n "$need" ] || { echo "deps: optional packages not installed:$want"; exit 0; }
        echo "deps: run as root: apt-get install$need$want" >&2
        exit 1
    fi
    run=sudo
fi
echo "deps: installing$need$want"
export DEBIAN_FRONTEND=noninteractive
$run apt-get update -qq
[ -z "$need" ] || $run apt-get install -y -qq --no-install-recommends $need >/dev/null
[ -z "$want" ] || $run apt-get install -y -qq --no-install-recommends $want >/dev/null || echo "deps: optional packages not available:$want (the build goes on without them)"
