#!/bin/sh
# codegen.sh - proves: in the k loops of the biggest tile of every instruction set there are exactly its multiply-adds, no memory
# of the stack and, where instructions have three operands, no move from register to register. One such slip costs up to half
# the speed and no other test would see it. In: the command, which holds the tiles. Skipped without objdump or in a debug build.
# The scalar set is not looked at: a compiler may put four of its rows into one register.
# SPDX-License-Identifier: Apache-2.0
set -eu
swage=$1
cache=$(dirname "$swage")/CMakeCache.txt
skip() { echo "codegen: skipped: $1"; exit 77; }
command -v objdump >/dev/null 2>&1 && command -v nm >/dev/null 2>&1 || skip "objdump and nm (binutils) are not installed"
case $(uname -m) in x86_64) ;; *) skip "tiles of $(uname -m) are not known here" ;; esac
if [ -f "$cache" ] && grep -q '^CMAKE_BUILD_TYPE:[A-Z]*=Debug' "$cache"; then skip "this build is not optimised"; fi

# instruction set, function, multiply-adds per step of k, instruction that counts them, register that tells it, moves allowed, k loops (2)
failures=0
check() {
    isa=$1 function=$2 products=$3 instruction=$4 register=$5 moves=$6 expected=${7:-2}
    found=0
    for line in $(nm -S "$swage" | awk -v f="$function" '$4 == f { print $1 ":" $2 }'); do
        start=$((0x${line%:*})) size=$((0x${line#*:}))
        code=$(objdump -d --no-show-raw-insn --start-address=$start --stop-address=$((start + size)) "$swage")
        printf '%s\n' "$code" | grep -q "$instruction.*%$register" || continue
        found=1
        printf '%s\n' "$code" | awk -v isa="$isa" -v f="$function" -v products="$products" -v want="$instruction" -v reg="%$register" \
                                     -v moves_allowed="$moves" -v expected="$expected" '
            $1 ~ /^[0-9a-f]+:$/ { n++; address[n] = substr($1, 1, length($1) - 1); op[n] = $2; args[n] = $0; at[address[n]] = n
                                  if ($0 ~ /mov +%rsp,%rbp/) frame = 1 }
            END {
                for (i = 1; i <= n; i++) {
                    if (op[i] !~ /^j/ || op[i] == "jmp") continue
                    split(args[i], word, " ")
                    begin = (word[3] in at) ? at[word[3]] : 0
                    if (!begin || begin > i) continue
                    count = stack = moves = inner = 0
                    for (j = begin; j <= i; j++) {
                        if (j < i && op[j] ~ /^j/) inner = 1
                        if (op[j] ~ "^" want) count++
                        if (args[j] ~ /\(%rsp|%rsp,|,%rsp\)/ || (frame && args[j] ~ /\(%rbp/)) stack++
                        if (op[j] ~ /^v?mov[aud]/ && args[j] ~ /%[xyz]mm[0-9]+,%[xyz]mm[0-9]+$/) moves++
                    }
                    if (inner || !count) continue
                    loops++
                    verdict = count % products == 0 && !stack && (moves_allowed || !moves) ? "ok" : "WRONG"
                    printf "%-11s %s: loop of %d instructions, %d of %d multiply-adds, %d stack references, %d register moves: %s\n", isa, f, \
                           i - begin + 1, count, products, stack, moves, verdict
                    if (verdict != "ok") bad = 1
                }
                if (loops < expected) { printf "%-11s %s: %d k loops found, expected %d\n", isa, f, loops, expected; bad = 1 }
                exit bad
            }' || failures=$((failures + 1))
    done
    if [ $found = 0 ]; then
        echo "$isa: no function $function with $instruction on $register registers"
        failures=$((failures + 1))
    fi
}
check avx512 tile_12x2 24 vfmadd zmm 0
if [ -f "$cache" ] && grep -q '^CMAKE_C_COMPILER:.*clang' "$cache"; then
    echo "avx512 tile_16x1: not looked at, clang 14 stores its one vector of b to the stack in every step"
else
    check avx512 tile_16x1 16 vfmadd zmm 0
fi
check avx512 tile_1x4 4 vfmadd zmm 0
check avx2 tile_6x2 12 vfmadd ymm 0
check sse2 tile_6x2 12 mulps xmm 1
# Of bf16: a dot per accumulator and step; the step of an odd k is no loop. Where there is no such unit, halves are widened, and a few
# sums may wait on the stack.
check avx512_bf16 pairs_12x2 24 vdpbf16ps zmm 0
check avx512_bf16 pairs_1x4 4 vdpbf16ps zmm 0
# Of 8-bit codes: a alone is never transposed.
check avx512_vnni codes_12x2 24 vpdpbusd zmm 0 1
check avx512_vnni codes_1x4 4 vpdpbusd zmm 0 1
check avx512 codes_12x2 24 vpmaddwd zmm 1 1
check avx2 codes_6x2 12 vpmaddwd ymm 0 1
check sse2 codes_6x2 12 pmaddwd xmm 1 1
[ $failures = 0 ]
