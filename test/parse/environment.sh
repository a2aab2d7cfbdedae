#!/usr/bin/env bash
# environment.sh - a real parse-server, Parse SDKs old and new, and the Nodes that they run on
# Usage: environment.sh build|path
# Kept below ${XDG_CACHE_HOME:-~/.cache}/roma-test, one for each lock file; `path` prints its folder.
# Its node_modules hold parse-server, parse (8.x), parse-2 (2.2.1), and Node as node-10-*/bin/node and
# node-24-*/bin/node. No workspace of this repository, so that `npm ci` stays small: 540 packages, 450 MB.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
key=$(cat package.json package-lock.json <(uname -sm) | sha256sum)
folder=${XDG_CACHE_HOME:-${HOME:?}/.cache}/roma-test/parse-${key:0:16}

case ${1:-} in
  path)
    [ -e "$folder/complete" ] || { echo "no parse-server here: ${0##*/} build makes it" >&2; exit 1; }
    echo "$folder" ;;
  build)
    mkdir -p "${folder%/*}"
    exec 9>"$folder.lock"
    flock 9
    [ ! -e "$folder/complete" ] || exit 0
    rm -rf "$folder"
    mkdir "$folder"
    cp package.json package-lock.json ../../.npmrc "$folder"
    # The engines that they ask for are those of node-24, not of the Node that installs.
    (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel error)
    touch "$folder/complete" ;;
  *) echo "usage: ${0##*/} build|path" >&2; exit 2 ;;
esac
