#!/usr/bin/env bash
# environment.sh - the pinned Python clients in an environment of their own
# Usage: environment.sh build|path
# Kept below ${XDG_CACHE_HOME:-~/.cache}/roma-test, one for each set of pins and
# version of Python; `path` prints its folder. Besides it, `crt` there holds what
# boto3 has as an option, to be put on PYTHONPATH. Needs python3 with venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
key=$(cat requirements.txt requirements-crt.txt <(python3 --version) | sha256sum)
folder=${XDG_CACHE_HOME:-${HOME:?}/.cache}/roma-test/python-${key:0:16}

case ${1:-} in
  path)
    [ -e "$folder/complete" ] || { echo "no Python clients here: ${0##*/} build makes them" >&2; exit 1; }
    echo "$folder" ;;
  build)
    mkdir -p "${folder%/*}"
    exec 9>"$folder.lock"
    flock 9
    [ ! -e "$folder/complete" ] || exit 0
    rm -rf "$folder"
    python3 -m venv "$folder"
    install=("$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all:)
    "${install[@]}" --requirement requirements.txt
    "${install[@]}" --target "$folder/crt" --requirement requirements-crt.txt
    "$folder/bin/pip" check --quiet --disable-pip-version-check
    touch "$folder/complete" ;;
  *) echo "usage: ${0##*/} build|path" >&2; exit 2 ;;
esac
