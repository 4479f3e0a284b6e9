# Start of the database's container: Patroni with certificate and passwords.
#
# PostgreSQL reads a private key only from a file of its own user, so it gets a copy, in memory. The passwords are in the
# environment of this process and not of the container, which `docker inspect` shows.
set -eu
umask 077
cp /identity/server.crt /identity/server.key /tmp/
password=$(cat /run/secrets/owner_password)
export PATRONI_SUPERUSER_PASSWORD="$password" PATRONI_REPLICATION_PASSWORD="$password"
export PATRONI_REWIND_PASSWORD="$password" PATRONI_RESTAPI_PASSWORD="$password"
export PATRONI_RESTAPI_CONNECT_ADDRESS="$PATRONI_NAME:8008" PATRONI_POSTGRESQL_CONNECT_ADDRESS="$PATRONI_NAME:5432"
exec patroni /etc/patroni/patroni.yml
