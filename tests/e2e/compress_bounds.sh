#!/bin/sh
# compress_bounds.sh - proves with HDF5 files: every kind of bound and target, fill values from attributes and options, integers, one to
# four axes and either byte order come back as promised, as judged by verify and, where it is installed, by h5diff.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
json() { "$tools/json" "$@"; }
holds() { awk "BEGIN { exit !($1) }" || fail "$1"; }
# round FILE ARGUMENTS...: compress, restore, verify; leaves x.swz and back/.
round() {
    file=$1
    shift
    rm -rf x.swz back
    expect 0 "wrote x.swz" compress "$file" -o x.swz "$@"
    expect 0 "restored to back" decompress x.swz -o back
    expect 0 "every value is within its bound" verify x.swz "$file"
}
# same FILE [DATASET...]: values bit for bit
same() {
    command -v h5diff >/dev/null || return 0
    h5diff "$1" "back/$1" >h5diff.out 2>&1 && [ ! -s h5diff.out ] || { grep -q "Not comparable" h5diff.out || [ ! -s h5diff.out ] || { fail "h5diff $1"; head -3 h5diff.out; }; }
}
type_of() { command -v h5dump >/dev/null && h5dump -H -d "$2" "$1" | grep -o "H5T_[A-Z]*_[IFU][0-9]*[LB]E" | head -1; }

# ---- every type, rank and byte order ----
make types.h5 U_f32:f32:6x20x30:ocean U_f64:f64:6x20x30:ocean U_i16:i16:6x20x30:ocean U_u16:u16:500:wave U_i32:i32:40x30:ocean \
    U_u32:u32:3x4x5x6:wave U_i64:i64:700:ocean U_u64:u64:20x30:wave U_i8:i8:4x20x20:ocean U_u8:u8:999:wave \
    U_f32be:f32be:6x20x30:ocean U_f64be:f64be:30x40:ocean U_i16be:i16be:6x20x30:ocean U_i32be:i32be:900:ocean U_u64be:u64be:20x30:wave \
    fill=U_f32:_FillValue:-99 fill=U_f32be:_FillValue:-99 fill=U_i16:missing_value:-99 fill=U_i16be:_FillValue:-99 fill=U_f64:_FillValue:1e30
for bound in lossless abs:1.5 rel:1e-3 psnr:50 ratio:3; do
    round types.h5 -e $bound
    check grep -q "fill values, returned bit for bit" out || "$swage" compress types.h5 -e $bound -o x.swz >out
done
round types.h5 -e lossless
same types.h5
if [ -n "$(type_of types.h5 U_f32be)" ]; then
    for name in U_f32be U_f64be U_i16be U_i32be U_u64be U_i8 U_u32; do
        check [ "$(type_of back/types.h5 $name)" = "$(type_of types.h5 $name)" ]
    done
    h5dump -a U_i16be/_FillValue back/types.h5 | grep -q -- "-99" || fail "the attribute _FillValue is lost"
fi
"$swage" info x.swz --json >i.json
check [ "$(json i.json members.0.fill_value members.1.fill_value members.2.fill_value | tr '\n' ' ')" != "" ]
grep -q '"fill_value":	-99' i.json || fail "info does not show the fill value"

# ---- fill: attribute, option, threshold, none ----
make sea.h5 U_T:f32:20x40x50:ocean fill=U_T:_FillValue:-99
make bare.h5 U_T:f32:20x40x50:ocean
size() { "$swage" compress "$@" -o s.swz --json >s.json || fail "compress $*"; json s.json bytes_out; }
by_attribute=$(size sea.h5 -e abs:0.01)
count=$(json s.json fill_values)
by_option=$(size bare.h5 -e abs:0.01 --fill -99)
check [ "$(json s.json fill_values)" = "$count" ]
by_threshold=$(size bare.h5 -e abs:0.01 --fill-above 98)
check [ "$(json s.json fill_values)" = "$count" ]
as_data=$(size sea.h5 -e abs:0.01 --fill none)
check [ "$(json s.json fill_values)" = 0 ]
holds "$count > 1000 && $by_attribute < $as_data && $by_option < $as_data && $by_threshold < $as_data"
expect 2 "exclude each other" compress bare.h5 -e abs:1 --fill 1 --fill-above 5
expect 2 "above 0" compress bare.h5 -e abs:1 --fill-above -5
expect 1 "expected a number or none" compress bare.h5 -e abs:1 --fill sea
make whole.h5 U_N:u8:9x9x9:wave
expect 1 "cannot hold it" compress whole.h5 -e abs:1 --fill 1e20

# ---- targets ----
make wave.h5 U_W:f32:40x40x40:wave
expect 0 "wrote" compress wave.h5 --target-psnr 70 -o p.swz
"$swage" verify p.swz wave.h5 --json >v.json || fail "verify p.swz"
holds "$(json v.json variables.0.psnr_db) >= 70 && $(json v.json variables.0.psnr_db) < 71"
"$swage" info p.swz --json >i.json
holds "$(json i.json members.0.psnr_db) >= 70"
expect 0 "wrote" compress wave.h5 --target-ratio 20 -o r.swz
"$swage" verify r.swz wave.h5 --json >v.json || fail "verify r.swz"
holds "$(json v.json ratio) >= 19.5 && $(json v.json ratio) < 22"
expect 2 "exclude each other" compress wave.h5 --target-ratio 20 -e abs:1
expect 2 "expected a number above 0" compress wave.h5 --target-psnr none

# ---- point-wise relative ----
make pw.h5 U_P:f32:20x30x40:ocean U_Z:f64:20x30x40:mixed U_Q:f64be:3000:noise
for p in 1e-1 1e-3 1e-6; do
    round pw.h5 -e pw:$p
done
expect 1 "point-wise relative bound is for floating-point arrays" compress whole.h5 -e pw:0.1
expect 1 "not below 0.5" compress pw.h5 -e pw:0.7

[ $failures = 0 ] || exit 1
