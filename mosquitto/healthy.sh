# The broker's health check in its container: does a message go there and back, over TLS, as a user with a password?
#
# mosquitto_rr takes host, user, password and topic from $XDG_CONFIG_HOME/mosquitto_rr, which `python -m identity init`
# writes: what stands on a command line is for all to see. It asks and answers on one topic, so that it hears itself.
# And as nothing else runs here beside the broker, this also tells it of new certificates; nobody is disconnected by that.
# What it began with lies in /tmp (docker-compose.yml). Not a word without need: told of anything before those whose
# sessions it keeps are back, Mosquitto 2.0 disconnects somebody every second from then on (docs/identity.md).
set -eu
for name in broker.crt revoked.crl; do
  if ! cmp -s "/mosquitto/identity/$name" "/tmp/$name"; then
    cp /mosquitto/identity/broker.crt /mosquitto/identity/revoked.crl /tmp/
    kill -HUP 1
    break
  fi
done
exec mosquitto_rr -V mqttv5 -q 1 -m well -W 3
