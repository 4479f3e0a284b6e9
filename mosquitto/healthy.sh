# The broker's health check in its container: does a message go there and back, over TLS, as a user with a password?
#
# mosquitto_rr takes host, user, password and topic from $XDG_CONFIG_HOME/mosquitto_rr, which `python -m identity init`
# writes: what stands on a command line is for all to see. It asks and answers on one topic, so that it hears itself.
# mosquitto_sub hears how many sessions are kept for clients that are away.
#
# And as nothing else runs here beside the broker, this also tells it of new certificates, and of nothing that it began
# with, which lies in /tmp (docker-compose.yml). By SIGHUP, which disconnects nobody; but where one is away whose session
# came from the store, Mosquitto 2.0 afterwards disconnects somebody else every second (docs/identity.md). So with
# anybody away it ends in order instead: its store is written, Docker starts it again, and no session is lost.
set -eu
given=/mosquitto/identity
if ! cmp -s "$given/broker.crt" /tmp/broker.crt || ! cmp -s "$given/revoked.crl" /tmp/revoked.crl; then
  away=$(mosquitto_sub -V mqttv5 -C 1 -W 3)
  cp "$given/broker.crt" "$given/revoked.crl" /tmp/
  if [ "$away" = 0 ]; then
    kill -HUP 1
  else
    kill -TERM 1
    exit
  fi
fi
exec mosquitto_rr -V mqttv5 -q 1 -m well -W 3
