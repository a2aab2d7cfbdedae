#!/usr/bin/env bash
# nginx.sh - nginx on loopback, two servers in one process:
#   NGINX_DAV_URL    native upload baseline: PUT/DELETE/MKCOL/COPY/MOVE by the
#                    dav module into NGINX_DAV_ROOT, and GET from it
#   NGINX_PROXY_URL  reverse proxy in front of UPSTREAM, requests unbuffered
#                    (proxy_request_buffering off); NGINX_PROXY_BUF_URL is the
#                    same with buffering on, which is nginx's default
# Usage: nginx.sh up|down|env|wipe      (Debian package: nginx-light)
# up again with other settings restarts it
# Settings (env): UPSTREAM=127.0.0.1:3000  NGINX_WORKERS=1  NGINX_PORT (three in
#   a row)  NGINX_READ_TIMEOUT=60s  NGINX_MAX_BODY=0 (no limit)
#   NGINX_DAV_ROOT, to write to another folder, such as a mount under test
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
svc_init nginx
NGINX_PORT=${NGINX_PORT:-$(port 20010)}
UPSTREAM=${UPSTREAM:-$HOST:3000}
ROOT=${NGINX_DAV_ROOT:-$D/dav}
conf() {
  mkdir -p "$ROOT" "$D/tmp"
  cat >"$D/nginx.conf" <<CONF
worker_processes ${NGINX_WORKERS:-1};
daemon off;
$([ "$(id -u)" = 0 ] && echo "user root;")
pid $D/nginx.pid;
error_log $LOG/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  client_max_body_size ${NGINX_MAX_BODY:-0};
  client_body_temp_path $D/tmp/body;
  proxy_temp_path $D/tmp/proxy;
  fastcgi_temp_path $D/tmp/fastcgi;
  uwsgi_temp_path $D/tmp/uwsgi;
  scgi_temp_path $D/tmp/scgi;
  client_body_timeout ${NGINX_READ_TIMEOUT:-60s};
  proxy_read_timeout ${NGINX_READ_TIMEOUT:-60s};
  proxy_send_timeout ${NGINX_READ_TIMEOUT:-60s};
  upstream app { server $UPSTREAM; keepalive 32; }
  proxy_http_version 1.1;
  proxy_set_header Host \$http_host;
  proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto \$scheme;
  proxy_set_header Connection "";
  server {
    listen $HOST:$NGINX_PORT;
    root $ROOT;
    # the body goes straight to a file beside its target: renamed, not copied
    client_body_temp_path $ROOT/.body;
    client_body_in_file_only clean;
    location / {
      dav_methods PUT DELETE MKCOL COPY MOVE;
      create_full_put_path on;
      dav_access user:rw group:r all:r;
    }
  }
  server {
    listen $HOST:$((NGINX_PORT + 1));
    location / { proxy_pass http://app; proxy_request_buffering off; proxy_buffering off; }
  }
  server {
    listen $HOST:$((NGINX_PORT + 2));
    location / { proxy_pass http://app; }
  }
}
CONF
}
svc_up() {
  need nginx nginx-light
  cp "$D/nginx.conf" "$D/nginx.conf.old" 2>/dev/null || true
  conf
  cmp -s "$D/nginx.conf" "$D/nginx.conf.old" || stop nginx 5
  if ! alive nginx; then
    tcp_free "$NGINX_PORT" $((NGINX_PORT + 1)) $((NGINX_PORT + 2))
    start nginx nginx -p "$D" -e "$LOG/error.log" -c "$D/nginx.conf"
  fi
  wait_for 60 "nginx" tcp_open "$HOST" $((NGINX_PORT + 2))
}
svc_down() { stop nginx 5; }
svc_env() {
  echo "NGINX_DAV_URL=http://$HOST:$NGINX_PORT"
  echo "NGINX_DAV_ROOT=$ROOT"
  echo "NGINX_PROXY_URL=http://$HOST:$((NGINX_PORT + 1))"
  echo "NGINX_PROXY_BUF_URL=http://$HOST:$((NGINX_PORT + 2))"
  echo "NGINX_PIDFILE=$RUN/nginx.pid"
}
main "$@"
