#!/usr/bin/env bash
# postgres.sh - PostgreSQL on loopback, with one empty database; its durability is off, for tests
# Usage: postgres.sh up|down|env|wipe      (Debian package: postgresql)
# Run by root the server runs as the user postgres, otherwise as the caller.
# Settings (env): PG_PORT  PG_USER=app  PG_PASSWORD=app  PG_DB=app
#   PG_BIN, where initdb and postgres are; left out: the newest of Debian's
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
svc_init postgres
PG_PORT=${PG_PORT:-$(port 20007)}
PG_USER=${PG_USER:-app} PG_PASSWORD=${PG_PASSWORD:-app} PG_DB=${PG_DB:-app}
PG_BIN=${PG_BIN:-$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)}
export PGPASSWORD=$PG_PASSWORD

AS=()
if [ "$(id -u)" = 0 ]; then
  AS=(setpriv --reuid=postgres "--regid=$(id -g postgres 2>/dev/null || echo 0)" --init-groups)
fi
sql() { # sql STATEMENT
  "$PG_BIN/psql" -h "$HOST" -p "$PG_PORT" -U "$PG_USER" -d postgres -XAtq -v ON_ERROR_STOP=1 -c "$1"
}
svc_up() {
  [ -x "$PG_BIN/postgres" ] || die "no PostgreSQL server here: apt-get install postgresql"
  mkdir -p "$D/sock"
  if [ "$(id -u)" = 0 ]; then
    chmod a+x "$SERVICES_DIR"
    chown postgres "$D" "$D/sock" "$LOG"
    "${AS[@]}" test -w "$D" || die "the user postgres cannot reach $D: set SERVICES_DIR"
  fi
  if [ ! -e "$D/data/PG_VERSION" ]; then
    tcp_free "$PG_PORT"
    (umask 077; echo "$PG_PASSWORD" >"$D/password")
    [ "$(id -u)" != 0 ] || chown postgres "$D/password"
    "${AS[@]}" "$PG_BIN/initdb" -D "$D/data" --no-sync -E UTF8 --locale=C.UTF-8 -U "$PG_USER" \
      --auth=scram-sha-256 --pwfile="$D/password" >"$LOG/initdb.out" 2>&1
  fi
  start postgres "${AS[@]}" "$PG_BIN/postgres" -D "$D/data" -p "$PG_PORT" -c listen_addresses="$HOST" \
    -c unix_socket_directories="$D/sock" -c fsync=off -c full_page_writes=off -c synchronous_commit=off \
    -c max_connections=200 -c shared_buffers=32MB
  wait_for 120 "PostgreSQL" sql 'select 1'
  if [ "$(sql "select count(*) from pg_database where datname='$PG_DB'")" = 0 ]; then
    sql "create database \"$PG_DB\""
  fi
}
svc_down() { stop postgres 15 INT; }
svc_env() {
  echo "PG_URL=postgres://$PG_USER:$PG_PASSWORD@$HOST:$PG_PORT/$PG_DB"
  echo "PG_PIDFILE=$RUN/postgres.pid"
}
main "$@"
