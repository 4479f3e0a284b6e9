#!/bin/bash
# Start of HAProxy's container, with the name of this HAProxy. Two of them lead all clients to one broker.
#
# brokers.cfg shares the broker in use between them. What HAProxy does not do by itself, this loop does every second:
#   - It ends the connections to the broker that is not in use. Without it, clients that came before the switch stay.
#   - If this container stood still (a paused machine), HAProxy may have missed a switch and would announce its old broker
#     as the one in use. It is ended, starts with nothing, and learns from the other one.
set -u
standstill_s=5

field() { # of MQTT: two bytes of length, then the bytes; as hexadecimal digits
  printf '%04x%s' "${#1}" "$(printf %s "$1" | od -An -v -tx1 | tr -d ' \n')"
}

# CONNECT of MQTT 3.1.1 with a clean session, as `connect_packet` of identity/haproxy.py. In the environment of this
# process and not of the container, which `docker inspect` shows.
connect=00044d51545404c2003c$(field "")$(field health)$(field "$(<"${SECRETS:-/run/secrets}/mqtt_health_password")")
CONNECT=$(printf '10%02x%s' $((${#connect} / 2)) "$connect")
export CONNECT
STARTED=$(date +%s) haproxy -W -db -L "$1" -f /etc/haproxy/site/haproxy.cfg -f /etc/haproxy/brokers/brokers.cfg &
proxy=$!
trap 'kill -TERM "$proxy"' TERM INT

uptime_s() { # of CLOCK_BOOTTIME, which also runs while the machine is suspended; in $now
  read -r now _ </proc/uptime
  now=${now%.*}
}

ask() { # the answer is in $answer
  answer=
  exec 3<>/dev/tcp/127.0.0.1/8405 || return
  printf '%s\n' "$1" >&3
  IFS= read -r -t 2 -d '' answer <&3
  exec 3>&-
}

# Without a fork: on a machine that is busy each takes long enough to look like a standstill.
exec 4<> <(:)
uptime_s
last=$now
while read -t 1 -u 4 || kill -0 "$proxy" 2>/dev/null; do
  uptime_s
  if ((now - last > standstill_s)); then
    echo "stood still for $((now - last)) s; starting again, to learn which broker is in use" >&2
    kill -KILL "$proxy" && exit 1
  fi
  last=$now
  ask "show table brokers" 2>/dev/null
  [[ $answer =~ server_id=([12]) ]] || continue
  server=broker$((3 - BASH_REMATCH[1]))
  end="shutdown sessions server"
  ask "$end brokers/$server; $end brokers-certificates/$server; $end mirror-of-$server/$server" 2>/dev/null
done
wait "$proxy"
