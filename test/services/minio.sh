#!/usr/bin/env bash
# minio.sh - the real MinIO server on loopback, one node over one folder:
#   MINIO_S3_ENDPOINT, _ACCESS_KEY, _SECRET_KEY, _REGION
# Usage: minio.sh up|down|env|wipe|build|path
# The program is MINIO_BINARY, or `minio` of the PATH, or what `build` made of its
# Go module, kept below ${XDG_CACHE_HOME:-~/.cache}/roma-test; `path` prints it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
svc_init minio
EXTRA='build|path'
VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
CACHE=${XDG_CACHE_HOME:-${HOME:?}/.cache}/roma-test/minio-$VERSION
MINIO_PORT=$(port 20005)
ACCESS=TESTACCESSKEY SECRET=testsecretkeytestsecretkey

svc_path() {
  local p
  for p in "${MINIO_BINARY:-}" "$(command -v minio || true)" "$CACHE/minio"; do
    if [ -x "$p" ]; then echo "$p"; return; fi
  done
  die "no 'minio' here: ${0##*/} build makes it, where Go is"
}
svc_build() {
  ! (svc_path) >/dev/null 2>&1 || return 0
  command -v go >/dev/null || die "no 'go' here, to build minio with"
  mkdir -p "$CACHE"
  CGO_ENABLED=0 GOBIN=$CACHE go install -trimpath -ldflags '-s -w' "github.com/minio/minio@$VERSION" 2>"$CACHE/log" ||
    { cat "$CACHE/log" >&2; die "MinIO cannot be built"; }
}
svc_up() {
  local binary
  binary=$(svc_path)
  if ! alive minio; then
    tcp_free "$MINIO_PORT"
    mkdir -p "$D/data"
    start minio env MINIO_ROOT_USER=$ACCESS MINIO_ROOT_PASSWORD=$SECRET MINIO_BROWSER=off MINIO_UPDATE=off \
      "$binary" server --quiet --address "$HOST:$MINIO_PORT" --config-dir "$D/config" "$D/data"
  fi
  wait_for 120 "MinIO" ready
}
ready() ( # a shell of its own, for the socket
  local status
  exec 3<>"/dev/tcp/$HOST/$MINIO_PORT"
  printf 'GET /minio/health/ready HTTP/1.0\r\nHost: %s\r\n\r\n' "$HOST" >&3
  read -r status <&3
  [[ $status == *" 200 "* ]]
)
svc_down() { stop minio; }
svc_env() {
  echo "MINIO_S3_ENDPOINT=http://$HOST:$MINIO_PORT"
  echo "MINIO_S3_ACCESS_KEY=$ACCESS"
  echo "MINIO_S3_SECRET_KEY=$SECRET"
  echo "MINIO_S3_REGION=us-east-1"
  echo "MINIO_PIDFILE=$RUN/minio.pid"
}
main "$@"
