# Health check of the database's container: Patroni runs, and PostgreSQL accepts connections, as primary or standby.
#
# It also loads a new certificate, which ends no connection.
set -eu
cmp -s /identity/server.crt /tmp/server.crt || { umask 077; cp /identity/server.crt /identity/server.key /tmp/; kill -HUP 1; }
exec python3 - <<'PYTHON'
import ssl, urllib.request

context = ssl.create_default_context(cafile="/etc/vitalflow/ca/ca.crt")
urllib.request.urlopen("https://localhost:8008/health", timeout=4, context=context)
PYTHON
