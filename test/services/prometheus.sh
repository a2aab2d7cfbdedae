#!/usr/bin/env bash
# prometheus.sh - Prometheus on loopback. It scrapes, each PROM_INTERVAL, the targets that PROM_TARGETS_FILE names:
#   [{"targets": ["127.0.0.1:8421"]}]; a change of the file is seen at once. Their job is called roma.
# Usage: prometheus.sh up|down|env|wipe      (Debian package: prometheus)
# up again with other settings restarts it
# Settings (env): PROM_PORT  PROM_INTERVAL=1s  PROM_RULES=FILE (alerting or recording rules to load)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
svc_init prometheus
PROM_PORT=${PROM_PORT:-$(port 20013)}
INTERVAL=${PROM_INTERVAL:-1s}
ready() {
  local answer
  exec 9<>"/dev/tcp/$HOST/$PROM_PORT" && printf 'GET /-/ready HTTP/1.0\r\n\r\n' >&9 &&
    read -r -t 2 answer <&9 && exec 9>&- && [[ $answer == *" 200 "* ]]
}
conf() {
  cat <<CONF
global: { scrape_interval: $INTERVAL, scrape_timeout: $INTERVAL, evaluation_interval: $INTERVAL }
${PROM_RULES:+rule_files: ['$PROM_RULES']}
scrape_configs:
  - job_name: roma
    file_sd_configs: [{ files: ['$D/targets.json'] }]
CONF
}
svc_up() {
  need prometheus prometheus
  [ -e "$D/targets.json" ] || echo '[]' >"$D/targets.json"
  conf >"$D/prometheus.yml.new"
  cmp -s "$D/prometheus.yml.new" "$D/prometheus.yml" || stop prometheus 10
  mv "$D/prometheus.yml.new" "$D/prometheus.yml"
  if ! alive prometheus; then
    tcp_free "$PROM_PORT"
    start prometheus prometheus --config.file="$D/prometheus.yml" --storage.tsdb.path="$D/data" \
      --web.listen-address="$HOST:$PROM_PORT" --storage.tsdb.retention.time=1d --log.level=warn
  fi
  wait_for 60 "prometheus" ready
}
svc_down() { stop prometheus 10; }
svc_env() {
  echo "PROM_URL=http://$HOST:$PROM_PORT"
  echo "PROM_TARGETS_FILE=$D/targets.json"
}
main "$@"
