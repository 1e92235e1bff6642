#!/bin/sh
# install.sh - proves: `cmake --install` into any folder gives headers, both libraries, the command and a .pc file that work together;
# the shared library exports exactly what the public headers declare.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1
build=$(dirname "$swage")
cc=${CC:-cc}
for tool in cmake pkg-config "$cc" nm; do
    command -v "$tool" >/dev/null || { echo "install.sh: no $tool here"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
check() { "$@" || fail "$*"; }
cd "$work" || exit 1

cmake --install "$build" --prefix "$work/first" >log 2>&1 || { cat log; exit 1; }
mv first prefix # the .pc file must not know where it was installed
pc=$(find prefix -name swage.pc)
lib=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH="$work/$(dirname "$pc")"
check [ "$(pkg-config --modversion swage)" = "$("$swage" --version | sed -n 's/^swage //p')" ]
check [ "$(prefix/bin/swage --version | head -n 1)" = "$("$swage" --version | head -n 1)" ]

cat >use.c <<'PROGRAM'
#include <stdio.h>
#include <string.h>
#include <swage/codec.h>

int main(void) {
    float values[512], restored[512];
    swg_context *ctx;
    swg_swz *file;
    swg_codec_buffer out = {0};
    for (int i = 0; i < 512; i++)
        values[i] = 0.001f * (float)(i * i);
    if (swg_context_open(NULL, &ctx) != SWG_OK)
        return 1;
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {8, 8, 8}, .data = values};
    swg_status status = swg_codec_compress(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1e-3}, &out, NULL);
    if (status == SWG_OK)
        status = swg_swz_open_memory(ctx, out.data, out.bytes, &file);
    if (status == SWG_OK)
        status = swg_swz_read(file, 0, restored, sizeof restored);
    if (status != SWG_OK) {
        fprintf(stderr, "%s\n", swg_context_message(ctx));
        return 1;
    }
    double worst = 0;
    for (int i = 0; i < 512; i++) {
        double gap = (double)restored[i] - (double)values[i];
        worst = gap > worst ? gap : -gap > worst ? -gap : worst;
    }
    printf("%zu bytes became %zu, largest error %.3g\n", sizeof values, out.bytes, worst);
    int good = worst > 0 && worst <= 1e-3 && out.bytes < sizeof values;
    swg_swz_close(file);
    swg_codec_buffer_free(ctx, &out);
    swg_context_close(ctx);
    return !good;
}
PROGRAM
strict="-std=c17 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Werror"
$cc $strict use.c $(pkg-config --cflags --libs swage) -o shared >log 2>&1 || { fail "shared: cc"; cat log; }
LD_LIBRARY_PATH=$work/$lib ./shared || fail "with the shared library"
LD_LIBRARY_PATH=$work/$lib ldd ./shared | grep -q "libswage.*$work" || fail "the installed library was not used"
$cc $strict use.c $(pkg-config --cflags --static --libs swage | sed 's/-lswage/-l:libswage.a/') -o static >log 2>&1 || { fail "static: cc"; cat log; }
./static || fail "with the static library"
ldd ./static | grep -q libswage && fail "not linked statically"

# Every header stands alone.
for header in prefix/include/swage/*.h; do
    echo "#include <swage/$(basename "$header")>" >alone.c
    $cc $strict $(pkg-config --cflags swage) -fsyntax-only alone.c >log 2>&1 || { fail "$header"; cat log; }
done

# Exported = declared.
nm -D --defined-only "$lib/libswage.so" | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u >exported
cat prefix/include/swage/*.h | grep -oE 'swg_[a-z0-9_]+\(' | tr -d '(' | sort -u >declared
check [ "$(wc -l <exported)" -gt 100 ]
check diff exported declared

[ $failures = 0 ]
