#!/bin/sh
# In a container, instead of plain mosquitto: starts the broker, and sends it SIGHUP when a certificate or the list of
# the revoked has changed, which loses no connection. `python -m stack` does the same by itself.
set -eu
conf=${MOSQUITTO_CONF:-/mosquitto/config/mosquitto.conf}
folder=${MOSQUITTO_IDENTITY:-/mosquitto/identity}

stamp() { cat "$folder"/*.crt "$folder"/*.crl | cksum; }

mosquitto=$(command -v mosquitto || echo /usr/sbin/mosquitto)
"$mosquitto" -c "$conf" &
broker=$!
trap 'kill -TERM $broker' TERM INT
seen=$(stamp)
while kill -0 "$broker" 2>/dev/null; do
    sleep "${MOSQUITTO_LOOK_S:-5}" &
    wait $! || : # a signal ends the wait
    now=$(stamp)
    if [ "$now" != "$seen" ]; then
        seen=$now
        kill -HUP "$broker" 2>/dev/null || :
    fi
done
wait "$broker"
