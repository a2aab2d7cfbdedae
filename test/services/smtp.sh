#!/usr/bin/env bash
# smtp.sh - an SMTP sink on loopback: each mail becomes a file in SMTP_MAILDIR/new, with the headers X-Peer,
#   X-MailFrom and X-RcptTo added. No TLS, no passwords.
# Usage: smtp.sh up|down|env|wipe            (Debian package: python3-aiosmtpd)
# Settings (env): SMTP_PORT
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
svc_init smtp
SMTP_PORT=${SMTP_PORT:-$(port 20014)}
PYTHON=/usr/bin/python3 # Debian's own, which sees Debian's aiosmtpd
svc_up() {
  "$PYTHON" -c 'import aiosmtpd' 2>/dev/null || die "no aiosmtpd here: apt-get install python3-aiosmtpd"
  if ! alive smtp; then
    tcp_free "$SMTP_PORT"
    start smtp "$PYTHON" -m aiosmtpd -n -l "$HOST:$SMTP_PORT" -c aiosmtpd.handlers.Mailbox "$D/maildir"
  fi
  wait_for 60 "smtp" tcp_open "$HOST" "$SMTP_PORT"
}
svc_down() { stop smtp 5; }
svc_env() {
  echo "SMTP_URL=smtp://$HOST:$SMTP_PORT"
  echo "SMTP_MAILDIR=$D/maildir"
}
main "$@"
