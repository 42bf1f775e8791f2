#!/bin/sh
# Renew the lock files from pyproject.toml and build.in. Versions already locked stay unless the new
# requirements forbid them; `requirements/renew.sh --upgrade` moves everything to the newest release.
set -eu
cd "$(dirname "$0")/.."

uv=$(command -v uv || true)
[ -n "$uv" ] || { [ -x .venv/bin/uv ] && uv=.venv/bin/uv; } || true
if [ -z "$uv" ]; then
    tools=$(mktemp -d)
    trap 'rm -rf "$tools"' EXIT
    "${FEMTOBARN_PYTHON:-python3}" -m venv "$tools"
    "$tools/bin/pip" --quiet install uv
    uv=$tools/bin/uv
fi

# lock NAME INPUT...: write requirements/NAME.txt for every platform and every Python from 3.11 on
lock() {
    name=$1
    shift
    # A user's own index settings must not leak into the files.
    "$uv" --no-config pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
        --no-emit-find-links --python-version 3.11 "$@" --output-file "requirements/$name.txt" >/dev/null
    if grep -nE '://|--index|--extra-index|--find-links|^-e|(^| )/' "requirements/$name.txt"; then
        echo "requirements/$name.txt names an index or a path of this machine (lines above)" >&2
        exit 1
    fi
    {
        echo "# Locked for every platform, Python >= 3.11. Do not edit: renew with requirements/renew.sh"
        grep -v '^# Locked for every platform' "requirements/$name.txt"
    } >"requirements/$name.txt.new"
    mv "requirements/$name.txt.new" "requirements/$name.txt"
    echo "requirements/$name.txt: $(grep -c '^[a-z]' "requirements/$name.txt") packages"
}

# dev.txt holds everything; the two others are cut out of it, so no version differs between them.
lock dev "$@" pyproject.toml requirements/build.in --extra dev
lock runtime pyproject.toml --constraints requirements/dev.txt
lock build requirements/build.in --constraints requirements/dev.txt
