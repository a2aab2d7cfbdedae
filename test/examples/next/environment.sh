#!/usr/bin/env bash
# environment.sh - Next.js and what examples/next imports, in a folder of its own
# Usage: environment.sh build|path
# Kept below ${XDG_CACHE_HOME:-~/.cache}/roma-test, one for each lockfile; `path` prints it. It is no
# workspace: over 300 MB for one test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
key=$(cat package-lock.json <(uname -sm) | sha256sum)
folder=${XDG_CACHE_HOME:-${HOME:?}/.cache}/roma-test/next-${key:0:16}

case ${1:-} in
  path)
    [ -e "$folder/complete" ] || { echo "no Next.js here: ${0##*/} build installs it" >&2; exit 1; }
    echo "$folder" ;;
  build)
    mkdir -p "${folder%/*}"
    exec 9>"$folder.lock"
    flock 9
    [ ! -e "$folder/complete" ] || exit 0
    rm -rf "$folder"
    mkdir "$folder"
    cp package.json package-lock.json "$folder"
    (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent)
    touch "$folder/complete" ;;
  *) echo "usage: ${0##*/} build|path" >&2; exit 2 ;;
esac
