#!/bin/bash
# One job of the array: the slice on line $$1 of slices.txt, or the merge of all slices.
$setup
set -eu
$unpack
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
    for name in X509_USER_PROXY KRB5CCNAME BEARER_TOKEN_FILE; do
        [ -n "$${!name:-}" ] && [ -e "$${!name##*/}" ] || continue
        chmod 600 "$${!name##*/}"
        export "$$name=$$PWD/$${!name##*/}"
    done
else
    cd $folder
    run=$run batch=$batch
fi
exec $python -m femtobarn resume "$$run" --part "$$(sed -n "$$1p" "$$batch/slices.txt")" --executor $executor --workers $cores
