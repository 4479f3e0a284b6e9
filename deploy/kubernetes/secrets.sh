#!/bin/sh
# Write what base/kustomization.yaml makes Secrets of: passwords, a CA, certificates. From the checkout, after
# `make setup`, with the names by which devices and browsers reach the cluster:
#
#   sh deploy/kubernetes/secrets.sh vitals.example.org
#
# Everything is below .secrets, which git ignores; keep a copy of it in a safe place. Valid files stay unchanged, and
# certificates, which last 90 days, are renewed in their last third: repeat this and `kubectl apply` every month, or let
# cert-manager do it (ha/cert-manager.yaml).
set -eu
cd "$(dirname "$0")/../.."
files=.secrets/kubernetes
python3 -m stack.envfile >/dev/null
VITALFLOW_CA_DIR=$files/authority VITALFLOW_BROKER_HOSTNAMES=broker1,broker2,${1:-} .venv/bin/vitalflow identity init \
  --passwords .secrets --users $files/users --broker $files/broker --database $files/database --ca $files/ca
# The health check's options name the CA's certificate, which the broker's container has elsewhere.
sed -i "s|--cafile .*|--cafile /mosquitto/identity/ca.crt|" $files/broker/mosquitto_rr $files/broker/mosquitto_sub
[ -s $files/mirror_password ] || # of the bridges between the brokers of ha
  (umask 077; python3 -c 'import secrets; print(secrets.token_urlsafe(24), end="")' >$files/mirror_password)
