#!/bin/bash
# One job of the array: the slice on line $$1 of slices.txt, or the merge of all slices.
set -eu
$setup
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
cd $folder
if [ "$$1" = merge ]; then
    exec $python -m femtobarn merge $run
fi
exec $python -m femtobarn resume $run --part "$$(sed -n "$$1p" $batch/slices.txt)" --executor $executor --workers $cores
