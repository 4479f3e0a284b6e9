#!/bin/bash
# Start of HAProxy's container, with the name of this HAProxy. Two of them lead the clients of two hosts to one broker.
#
# haproxy.cfg shares the broker in use between them. What HAProxy does not do by itself, this loop does every second:
#   - It ends the connections to the broker that is not in use. Without it, clients that came before the switch stay.
#   - If this container stood still (a paused machine), HAProxy may have missed a switch and would announce its old broker
#     as the one in use. It is ended, starts with nothing, and learns from the other one.
set -u
standstill_s=5
STARTED=$(date +%s) haproxy -W -db -L "$1" -f /etc/haproxy.cfg &
proxy=$!
trap 'kill -TERM "$proxy"' TERM INT

uptime_s() { # of CLOCK_BOOTTIME, which also runs while the machine is suspended
  local up
  read -r up _ </proc/uptime && echo "${up%.*}"
}

ask() {
  exec 3<>/dev/tcp/127.0.0.1/8405 || return
  printf '%s\n' "$1" >&3
  timeout 2 cat <&3
  exec 3>&-
}

last=$(uptime_s)
while sleep 1 && kill -0 "$proxy" 2>/dev/null; do
  now=$(uptime_s)
  if ((now - last > standstill_s)); then
    echo "stood still for $((now - last)) s; starting again, to learn which broker is in use" >&2
    kill -KILL "$proxy" && exit 1
  fi
  last=$now
  used=$(ask "show table brokers" 2>/dev/null | sed -n 's/.*server_id=\([12]\).*/\1/p')
  [ -n "$used" ] || continue
  other=$((3 - used))
  for section in brokers brokers-certificates "mirror-of-broker$other"; do
    ask "shutdown sessions server $section/broker$other" >/dev/null 2>&1
  done
done
wait "$proxy"
