# The broker's health check in its container: does a message go there and back, over TLS, as a user with a password?
#
# mosquitto_rr takes host, user, password and topic from $XDG_CONFIG_HOME/mosquitto_rr, which `python -m identity init`
# writes: what stands on a command line is for all to see. It asks and answers on one topic, so that it hears itself.
# And as nothing else runs here beside the broker, this also tells it of new certificates; nobody is disconnected by that.
set -eu
told=/tmp/told
for file in /mosquitto/identity/broker.crt /mosquitto/identity/revoked.crl; do
  if [ "$file" -nt "$told" ]; then
    touch "$told"
    kill -HUP 1
    break
  fi
done
exec mosquitto_rr -V mqttv5 -q 1 -m well -W 3
