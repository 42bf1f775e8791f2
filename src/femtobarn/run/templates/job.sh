#!/bin/bash
# One job of the array: the slice on line $$1 of slices.txt, or the merge of all slices.
set -eu
$setup
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
$exports
if [ "$$1" = merge ]; then
    cd $folder
    exec $python -m femtobarn merge $run
fi
if [ $carried = yes ]; then
    # HTCondor has put manifest, plan and code here and takes the folder slices back.
    run=$$PWD batch=$$PWD
    export HOME="$${HOME:-$$PWD}" FEMTOBARN_CACHE="$$PWD/cache"
    [ -z "$${X509_USER_PROXY:-}" ] || export X509_USER_PROXY="$$PWD/$${X509_USER_PROXY##*/}"
else
    cd $folder
    run=$run batch=$batch
fi
exec $python -m femtobarn resume "$$run" --part "$$(sed -n "$$1p" "$$batch/slices.txt")" --executor $executor --workers $cores
