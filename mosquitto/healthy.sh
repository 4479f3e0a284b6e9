# Health check of the broker's container: does a message make a round trip, over TLS, as a user with a password?
#
# mosquitto_rr reads host, user, password and topic from $XDG_CONFIG_HOME/mosquitto_rr, which `vitalflow identity init`
# writes, because every user of a machine can read command lines. Request and response use one topic, so that it answers
# itself. mosquitto_sub receives the number of sessions whose clients are offline.
#
# No other process runs next to the broker in this container, so the check also reloads new certificates. What the
# broker started with is in /tmp (docker-compose.yml). SIGHUP disconnects no client. But if a client whose session came
# from the store is offline, Mosquitto 2.0 then disconnects another client every second (docs/identity.md). So with a
# session offline the broker is stopped cleanly instead: it saves its store, Docker restarts it, no session is lost. The
# same if it listens for WebSockets (docker-compose.websockets.yml): that listener keeps its certificate after SIGHUP.
set -eu
given=/mosquitto/identity
if ! cmp -s "$given/broker.crt" /tmp/broker.crt || ! cmp -s "$given/revoked.crl" /tmp/revoked.crl; then
  offline=$(mosquitto_sub -V mqttv5 -C 1 -W 3)
  cp "$given/broker.crt" "$given/revoked.crl" /tmp/
  if [ "$offline" = 0 ] && [ ! -e /mosquitto/config/websockets.conf ]; then
    kill -HUP 1
  else
    kill -TERM 1
    exit
  fi
fi
exec mosquitto_rr -V mqttv5 -q 1 -m well -W 3
