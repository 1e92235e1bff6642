#!/bin/sh
# check_builds.sh - builds the codec with several compilers, optimisation levels and targets and compares its bits: golden streams must
# decode alike everywhere, arrays encoded anew must give the same bytes and values.
# Arguments: source folder, work folder, "short" (with fused multiply-adds only; the builds of `make test` do the rest) or "all". Prints a table; exits 1 if any hash differs. What is
# not installed (clang, a 32-bit C library, an aarch64 compiler and qemu-aarch64) is named and passed over.
# SPDX-License-Identifier: Apache-2.0
set -u
source=$1
work=$2
extent=${3:-all}
mkdir -p "$work" || exit 1
cd "$source" || exit 1
streams=tests/golden/streams
common="-std=c17 -ffp-contract=off -fno-math-errno -fno-trapping-math -D_GNU_SOURCE -DSWG_VERSION=\"0\" -Iinclude -Isrc -Isrc/base"
portable="src/codec/*.c src/base/*.c src/kernel/isa/scalar_codec.c src/kernel/isa/scalar_causal.c tests/tools/codec_streams.c"
failures=0
echo | gcc -dM -E - 2>/dev/null | grep -q __x86_64__ && x86=1 || x86=

# build NAME X86 RUNNER COMPILER FLAGS...: a line per instruction set and command in NAME.out. $last: flags that win over all others.
# With contraction a fused multiply-add may replace any product and sum: what is decoded must not care, what is encoded may.
last=
build() {
    name=$1 vector=$2 runner=$3
    shift 3
    for tool in "$1" $runner; do
        command -v "$tool" >/dev/null 2>&1 || { echo "skipped  $name: no $tool"; return; }
    done
    objects=
    if [ -n "$vector" ]; then
        avx512=-mavx512f,-mavx512bw,-mavx512dq,-mavx512vl,-mfma,-mprefer-vector-width=512
        for isa in sse2: avx2:-mavx2,-mfma avx512:$avx512 avx512_vnni:$avx512,-mavx512vnni; do
            for kernels in codec causal; do # not every set has a file of each kind
                file=src/kernel/isa/${isa%%:*}_$kernels.c object=$work/$name-${isa%%:*}-$kernels.o
                [ -f "$file" ] || continue
                "$@" $common -DSWG_X86=1 $(echo "${isa#*:}" | tr , ' ') $last -c "$file" -o "$object" 2>>"$work/$name.log"
                objects="$objects $object"
            done
        done
    fi
    if ! "$@" $common ${vector:+-DSWG_X86=1} $last $portable $objects -o "$work/$name" -lpthread -lm >>"$work/$name.log" 2>&1; then
        if grep -qE "cannot find|No such file or directory" "$work/$name.log"; then
            echo "skipped  $name: its C library is not installed"
        else
            echo "FAILED   $name: does not build"
            head -5 "$work/$name.log"
            failures=$((failures + 1))
        fi
        return
    fi
    commands="check hash"
    [ -z "$last" ] || commands=check
    for command in $commands; do
        what=$streams
        [ $command = check ] || what=
        if ! $runner "$work/$name" $command $what >"$work/$name.out" 2>&1; then
            echo "FAILED   $name:"
            cat "$work/$name.out"
            failures=$((failures + 1))
            return
        fi
        hashes=$(sed 's/^[a-z0-9_]* //' "$work/$name.out" | sort -u)
        eval "reference=\${reference_$command:-}"
        [ -n "$reference" ] || eval "reference_$command=\$hashes reference=\$hashes"
        if [ "$hashes" = "$reference" ]; then
            echo "same     $name, $(wc -l <"$work/$name.out") instruction sets: $hashes"
        else
            echo "DIFFERS  $name: $hashes"
            failures=$((failures + 1))
        fi
    done
}

last=-ffp-contract=fast
build gcc-contracting "$x86" "" gcc -O1 -march=native
last=
if [ "$extent" = all ]; then
    build gcc-O0 "$x86" "" gcc -O0
    build gcc-O3 "$x86" "" gcc -O3
    build gcc-native "$x86" "" gcc -O3 -march=native
    build clang-O0 "$x86" "" clang -O0
    build clang-O3 "$x86" "" clang -O3
    build clang-native "$x86" "" clang -O3 -march=native
    build gcc-32-bit "" "" gcc -O2 -m32 -msse2 -mfpmath=sse -I/usr/include/x86_64-linux-gnu
    build aarch64-O0 "" qemu-aarch64 aarch64-linux-gnu-gcc -O0 -static
    build aarch64-O3 "" qemu-aarch64 aarch64-linux-gnu-gcc -O3 -static
    build s390x-O2 "" qemu-s390x s390x-linux-gnu-gcc -O2 -fexcess-precision=fast -static # big endian; otherwise it may round twice
fi
[ $failures = 0 ]
