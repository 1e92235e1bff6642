#!/bin/sh
# put-block.sh - replaces what stands in a page between <!-- NAME:begin --> and <!-- NAME:end --> by a file.
# Arguments: page, NAME, file. SPDX-License-Identifier: Apache-2.0
set -eu
[ -s "$3" ] || { echo "put-block.sh: $3 is missing or empty"; exit 1; }
for mark in begin end; do
    [ "$(grep -cF "<!-- $2:$mark -->" "$1")" = 1 ] || { echo "put-block.sh: $1 needs one line <!-- $2:$mark -->"; exit 1; }
done
awk -v begin="<!-- $2:begin -->" -v end="<!-- $2:end -->" -v file="$3" '
    $0 == end { inside = 0 }
    !inside { print }
    $0 == begin { inside = 1; while ((getline line < file) > 0) print line }
' "$1" >"$1.tmp"
mv "$1.tmp" "$1"
