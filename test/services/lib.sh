# lib.sh - helpers shared by the service scripts; sourced, never run.
# A service keeps everything under $SERVICES_DIR/<service>/ ; a process is
# recorded in run/<name>.pid as "pid starttime", so that a reused pid is never
# taken for ours and nothing that we did not start is ever stopped.
# shellcheck shell=bash
SERVICES_DIR=${SERVICES_DIR:-${TMPDIR:-/tmp}/services}
SERVICES_PORT_OFFSET=${SERVICES_PORT_OFFSET:-0}   # added to every default port
HOST=127.0.0.1

svc_init() { # svc_init SERVICE: sets D (state), RUN (pids), LOG (logs)
  SVC=$1 D=$SERVICES_DIR/$1
  RUN=$D/run LOG=$D/log
}
mkdirs() { mkdir -p "$D" "$RUN" "$LOG"; }
port() { echo $(($1 + SERVICES_PORT_OFFSET)); }
say() { echo "$SVC: $*" >&2; }
die() { say "$*"; exit 1; }
PATH=$PATH:/usr/sbin:/sbin   # where Debian keeps servers
need() { # need COMMAND PACKAGE...: in pairs, with a hint what to install
  for (( ; $# > 0; )); do
    command -v "$1" >/dev/null || die "no '$1' here: apt-get install $2"
    shift 2
  done
}

starttime() { # field 22 of /proc/PID/stat, counted after the ") " of the name
  local s
  s=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  s=${s##*) }
  # shellcheck disable=SC2086
  set -- $s
  [ "$1" != Z ] || return 1
  echo "${20}"
}
pid_of() { # pid_of NAME: prints the pid when the process we started still runs
  local pid st
  read -r pid st <"$RUN/$1.pid" 2>/dev/null || return 1
  [ "$(starttime "$pid")" = "$st" ] || return 1
  echo "$pid"
}
alive() { [ -f "$RUN/$1.pid" ] && pid_of "$1" >/dev/null; }
record() { # record NAME PID
  local st
  st=$(starttime "$2") || return 1
  echo "$2 $st" >"$RUN/$1.pid"
}
start() { # start NAME COMMAND...: in the background, in its own session
  local name=$1; shift
  alive "$name" && return 0
  setsid "$@" </dev/null >>"$LOG/$name.out" 2>&1 8>&- 9>&- &
  record "$name" $! || died "$name"
  STARTED+=("$name")
}
STARTED=()
died() { # died NAME: with its last words, since the caller may wipe the log
  die "$1 ended by itself: $(tail -n 5 "$LOG/$1.out" 2>/dev/null)"
}
stop() { # stop NAME [SECONDS [SIGNAL]]: TERM, wait, then KILL
  local name=$1 secs=${2:-10} sig=${3:-TERM} pid i
  if pid=$(pid_of "$name" 2>/dev/null); then
    kill -CONT "$pid" 2>/dev/null || true
    kill -"$sig" "$pid" 2>/dev/null || true
    for ((i = 0; i < secs * 20; i++)); do
      pid_of "$name" >/dev/null 2>&1 || break
      sleep 0.05
    done
    if pid=$(pid_of "$name" 2>/dev/null); then
      kill -KILL "$pid" 2>/dev/null || true
      for ((i = 0; i < 600; i++)); do # it may still be within a call of the kernel's
        pid_of "$name" >/dev/null 2>&1 || break
        sleep 0.05
      done
    fi
  fi
  rm -f "$RUN/$name.pid"
}
wait_for() { # wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds, or something that we started has ended
  local secs=$1 what=$2 end name; shift 2
  end=$((SECONDS + secs))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || die "no $what after $secs s; see $LOG"
    for name in "${STARTED[@]}"; do alive "$name" || died "$name"; done
    sleep 0.1
  done
}
tcp_open() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }
tcp_free() { # tcp_free PORT...: dies when another process listens there
  local p
  for p in "$@"; do
    ! tcp_open "$HOST" "$p" || die "port $p is taken; set SERVICES_PORT_OFFSET"
  done
}
mounted() { # mounted DIR: by the mount table; a mount that hangs is never touched
  local dir
  while read -r _ dir _; do [ "$dir" != "$1" ] || return 0; done </proc/self/mounts
  return 1
}
unmount() { # unmount DIR: lazily when something is still open below it
  ! mounted "$1" || umount "$1" 2>/dev/null || umount -l "$1"
}
wipe_state() { # removes the state, unless something is still mounted below it
  ! grep -q " $D/" /proc/self/mounts || die "something is still mounted below $D"
  rm -rf "$D"
}
lock() { # one up/down/wipe of a service at a time, however many workers ask
  mkdir -p "$SERVICES_DIR"
  exec 8>"$SERVICES_DIR/.$SVC.lock"
  flock -w 300 8 || die "another $SVC command holds the lock"
}
main() { # main COMMAND...: dispatches to svc_up, svc_down, svc_env, ...
  local cmd=${1:-}; shift || true
  case $cmd in up | down | wipe) lock ;; esac
  case $cmd in
    up) local t=${EPOCHREALTIME/./}; mkdirs; svc_up "$@"; say "up in $(((${EPOCHREALTIME/./} - t) / 1000)) ms" ;;
    down) [ ! -d "$D" ] || svc_down "$@" ;;
    env) svc_env ;;
    wipe) if [ -d "$D" ]; then svc_down; wipe_state; fi ;;
    *) if [ -n "$cmd" ] && declare -F "svc_${cmd//-/_}" >/dev/null; then "svc_${cmd//-/_}" "$@"; else
         echo "usage: ${0##*/} up|down|env|wipe${EXTRA:+|$EXTRA}" >&2; exit 2
       fi ;;
  esac
}
