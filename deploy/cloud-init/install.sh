#!/bin/sh
# Install VitalFlow on this machine, Debian 13: broker, database and services as units of systemd, and a firewall.
#
#   sudo sh deploy/cloud-init/install.sh NAME      from /opt/vitalflow; NAME: by which devices reach this machine
#
# The commands are those of docs/installation.md, which explains them. It can run again: what is there stays as it is.
set -eu
name=${1:?usage: install.sh NAME, the name by which devices reach this machine}
cd "$(dirname "$0")/../.."
stop() { echo "install.sh: $*" >&2; exit 2; }
[ "$(id -u)" = 0 ] || stop "run it as root"
. /etc/os-release
[ "$ID-${VERSION_ID:-}" = debian-13 ] || stop "this is ${PRETTY_NAME:-unknown}; PostgreSQL 17 with TimescaleDB needs Debian 13"
[ "$PWD" = /opt/vitalflow ] || stop "this checkout is $PWD; the units and settings expect /opt/vitalflow"
export DEBIAN_FRONTEND=noninteractive HOME="${HOME:-/root}"

# --- programs ---------------------------------------------------------------------------------------------------
apt-get install -y -qq git make python3-venv openssl mosquitto mosquitto-clients postgresql-17 postgresql-17-timescaledb nftables >/dev/null
make setup

# --- passwords and settings ---------------------------------------------------------------------------------------
install -d /etc/vitalflow && install -d -m 0700 /etc/vitalflow/secrets
keep() { # keep FILE: write standard input to it unless it is there
  if [ -s "$1" ]; then cat >/dev/null; else (umask 077; cat >"$1"); fi
}
secrets=/etc/vitalflow/secrets
for user in admin ingest alerts station operator health; do openssl rand -hex 24 | keep "$secrets/mqtt_${user}_password"; done
echo "mqtts://admin:$(cat $secrets/mqtt_admin_password)@localhost:8883" | keep $secrets/admin_url
for role in ingest reader; do
  echo "postgresql://vitalflow_$role:$(openssl rand -hex 24)@localhost/vitalflow" | keep "$secrets/${role}_url"
done
echo "postgresql://vitalflow:$(openssl rand -hex 24)@localhost/vitalflow" | keep $secrets/owner_url
cat >/etc/vitalflow/admin.env <<END
VITALFLOW_BROKER_HOSTNAMES=$name
VITALFLOW_DEVICES_URL=mqtts://$name:8883
VITALFLOW_CA_DIR=/etc/vitalflow/identity
VITALFLOW_MQTT_CA=/etc/vitalflow/ca.crt
VITALFLOW_MQTT_URL=mqtts://operator@localhost:8883
VITALFLOW_MQTT_PASSWORD_FILE=/etc/vitalflow/secrets/mqtt_operator_password
VITALFLOW_ADMIN_URL_FILE=/etc/vitalflow/secrets/admin_url
VITALFLOW_DATABASE_URL_FILE=/etc/vitalflow/secrets/owner_url
VITALFLOW_INGEST_URL_FILE=/etc/vitalflow/secrets/ingest_url
VITALFLOW_READER_URL_FILE=/etc/vitalflow/secrets/reader_url
END
cat >/usr/local/sbin/vitalflow-admin <<'END'
#!/bin/sh
set -a; . /etc/vitalflow/admin.env; exec /opt/vitalflow/.venv/bin/vitalflow "$@"
END
chmod 0755 /usr/local/sbin/vitalflow-admin

# --- broker -------------------------------------------------------------------------------------------------------
systemctl stop mosquitto # it writes its users when it stops
vitalflow-admin identity init --users /var/lib/mosquitto --passwords /etc/vitalflow/secrets \
    --broker /etc/mosquitto/vitalflow --ca /etc/vitalflow
sed -e "s|/usr/lib/mosquitto_dynamic_security.so|$(dpkg -L mosquitto | grep dynamic_security.so)|" \
    -e 's|/mosquitto/data/|/var/lib/mosquitto/|; s|/mosquitto/identity/|/etc/mosquitto/vitalflow/|' \
    mosquitto/mosquitto.conf >/etc/mosquitto/mosquitto.conf
chown -R mosquitto: /var/lib/mosquitto /etc/mosquitto/vitalflow
systemctl restart mosquitto
cat >/etc/cron.daily/vitalflow-certificates <<'END'
#!/bin/sh
set -eu
folder=/etc/mosquitto/vitalflow
before=$(cat $folder/broker.crt $folder/revoked.crl | sha256sum)
/usr/local/sbin/vitalflow-admin identity init --broker $folder --ca /etc/vitalflow >/dev/null
chown -R mosquitto: $folder
[ "$before" = "$(cat $folder/broker.crt $folder/revoked.crl | sha256sum)" ] || systemctl restart mosquitto
END
chmod 0755 /etc/cron.daily/vitalflow-certificates

# --- database -----------------------------------------------------------------------------------------------------
runuser -u postgres -- psql -q <<'END'
ALTER SYSTEM SET shared_preload_libraries = 'timescaledb';
ALTER SYSTEM SET timescaledb.max_background_workers = 8;
ALTER SYSTEM SET max_worker_processes = 19;
ALTER SYSTEM SET max_locks_per_transaction = 512;
END
systemctl restart postgresql
asks() { runuser -u postgres -- psql -XAtqc "$1"; }
[ "$(asks "SELECT count(*) FROM pg_roles WHERE rolname = 'vitalflow'")" = 1 ] ||
  sed "s/.*vitalflow:\(.*\)@.*/CREATE ROLE vitalflow SUPERUSER LOGIN PASSWORD '\1';/" /etc/vitalflow/secrets/owner_url |
    runuser -u postgres -- psql -q
[ "$(asks "SELECT count(*) FROM pg_database WHERE datname = 'vitalflow'")" = 1 ] ||
  runuser -u postgres -- createdb --owner=vitalflow --template=template0 --encoding=UTF8 vitalflow
vitalflow-admin db migrate

# --- services -----------------------------------------------------------------------------------------------------
.venv/bin/vitalflow dev systemd
systemctl daemon-reload
systemctl enable --now vitalflow-ingest vitalflow-alerts vitalflow-station vitalflow-accounts

# --- firewall: ssh and devices; everything else is for this machine only ---------------------------------------------
cat >/etc/nftables.conf <<'END'
#!/usr/sbin/nft -f
flush ruleset
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif lo accept
        meta l4proto { icmp, ipv6-icmp } accept
        udp dport 68 accept # DHCP, from which some providers' machines have their address
        tcp dport { 22, 8883, 8884 } accept
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
    }
}
END
systemctl enable --quiet nftables
systemctl restart nftables

# --- is the ward live? ------------------------------------------------------------------------------------------------
# Ports 9464 and 9465 are ingest and alert worker, 8080 the station.
for port in 9464 9465 8080; do
  tries=0
  until .venv/bin/python -m mqtt.health $port >/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 60 ] || stop "port $port does not answer as healthy: $(.venv/bin/python -m mqtt.health $port || true)"
    sleep 1
  done
done
echo "install.sh: VitalFlow runs; sign in at the station, http://127.0.0.1:8080, as operator"
