#!/bin/sh
# docs.sh - proves: every snippet of docs/adding-an-op.md stands, line by line, in the file that is named above it.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -u
source=$2
failures=0
file= lines=0
while IFS= read -r line; do
    case $line in
    '`'*'`') file=$(printf '%s' "$line" | tr -d '`') ;;
    '    '*)
        [ -n "$file" ] || { echo "a snippet without a file: $line"; failures=$((failures + 1)); continue; }
        lines=$((lines + 1))
        text=$(printf '%s' "$line" | sed 's/^ *//')
        grep -qF -- "$text" "$source/$file" || { echo "$file does not hold: $text"; failures=$((failures + 1)); }
        ;;
    '') ;;
    *) file= ;;
    esac
done <"$source/docs/adding-an-op.md"
[ $lines -gt 10 ] || { echo "only $lines lines of snippets were found"; failures=$((failures + 1)); }
[ $failures = 0 ]
