#!/bin/sh
# header.sh - proves: the library installs, its header holds every public header, and the program in the header's first comment
# compiles as it stands with the flags of pkg-config, runs, and trains; C++ can include it too.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -eu
build=$(dirname "$1")
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "header.sh: $*"; exit 1; }

for header in "$source"/include/swage/*.h; do
    name=$(basename "$header")
    [ "$name" = swage.h ] || grep -q "#include \"swage/$name\"" "$source/include/swage/swage.h" || fail "swage.h does not include $name"
done

cmake --install "$build" --prefix "$work/usr" >/dev/null
pc=$(find "$work/usr" -name swage.pc)
sed -i "s|^prefix=.*|prefix=$work/usr|" "$pc"
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
lib=$(dirname "$PKG_CONFIG_PATH")

# The program: the indented lines of the comment from the first #include to the closing brace of main.
sed -n '/^ \*     #include <stdio.h>/,/^ \*     }$/p' "$source/include/swage/swage.h" | sed 's/^ \*     //; s/^ \*$//' >"$work/program.c"
grep -q 'int main(void)' "$work/program.c" || fail "no program in swage.h"
${CC:-cc} -std=c17 -Wall -Wextra -Werror "$work/program.c" -o "$work/program" $(pkg-config --cflags --libs swage)
LD_LIBRARY_PATH=$lib "$work/program" >"$work/out" || fail "the program failed: $(cat "$work/out")"
grep -q '^[1-9][0-9]* bytes at the peak$' "$work/out" || fail "no peak: $(cat "$work/out")"
awk '/^step/ { if (n++ && $4 >= last) exit 1; last = $4 } END { exit n != 3 }' "$work/out" || fail "the loss does not fall: $(cat "$work/out")"

if command -v c++ >/dev/null; then
    printf '#include <swage/swage.h>\nint main() { return swg_version()[0] == 0; }\n' >"$work/plus.cc"
    c++ -Wall -Wextra -Werror "$work/plus.cc" -o "$work/plus" $(pkg-config --cflags --libs swage)
    LD_LIBRARY_PATH=$lib "$work/plus" || fail "the C++ program failed"
fi
