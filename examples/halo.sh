#!/bin/sh
# halo.sh - runs the halo exchange on two ranks and one; skipped where MPI is not installed.
# Arguments: path of halo, "" without MPI; path of mpiexec.
# SPDX-License-Identifier: Apache-2.0
set -u
halo=$1
mpiexec=${2:-}
if [ -z "$halo" ] || [ ! -x "$halo" ] || [ -z "$mpiexec" ]; then
    echo "skipped: MPI is not installed"
    exit 77
fi
# Open MPI asks for leave to run as root and on fewer cores than ranks; other libraries do not know these variables.
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM OMPI_MCA_rmaps_base_oversubscribe OMPI_MCA_btl_vader_single_copy_mechanism
for bound in 1e-3 1e-6 1e-10; do
    "$mpiexec" -n 2 "$halo" 10 $bound || exit 1
done
"$mpiexec" -n 1 "$halo" 3 1e-6
