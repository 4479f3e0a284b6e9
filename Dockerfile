# One image for all of VitalFlow's services in docker-compose.yml: identity, migrate, ingest, alerts, station, edges, devices.
# The arguments are those of the command `vitalflow`: docker run IMAGE alerts check

# First stage: the packages and the compiled code. pip is not part of the result.
FROM python:3.13-slim AS build
WORKDIR /app
COPY requirements.txt .
RUN python -m venv --without-pip /opt/venv \
 && python -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
    --require-hashes -r requirements.txt \
 && python -m pip --python /opt/venv/bin/python uninstall --yes --quiet setuptools # only a checkout builds
COPY vitals vitals
COPY mqtt mqtt
COPY devices devices
COPY ingest ingest
COPY alerts alerts
COPY identity identity
COPY edges edges
COPY station station
COPY sql sql
COPY vitalflow vitalflow
# Compile here, because the container's file system is read-only. It also makes every health check cheaper.
RUN python -m compileall -q vitals mqtt devices edges ingest alerts identity station sql vitalflow && rm requirements.txt

# Last stage: Python, the packages, the code. No compiler and no cache.
FROM python:3.13-slim
# Mount points of writable volumes: a new volume takes the owner of its folder.
RUN install -d -o 10001 -g 10001 /var/lib/vitalflow /etc/vitalflow/ca /mosquitto/identity /mosquitto/data /run/database \
 && install -d -o 10001 -g 10001 -m 700 /var/lib/vitalflow/identity /etc/vitalflow/edges \
 && install -d -o 10001 -g 10001 -m 700 /var/lib/vitalflow/edges-hl7 /var/lib/vitalflow/edges-fhir \
 && install -d -o 10001 -g 10001 -m 700 /var/lib/vitalflow/edges-webhook /var/lib/vitalflow/edges-mqtt \
 && install -d -o 10001 -g 10001 -m 700 /var/lib/vitalflow/edges-serial \
 && install -d -o 10001 -g 10001 -m 700 /var/lib/vitalflow/bridge1 /var/lib/vitalflow/bridge2 \
 && install -d -o 10001 -g 10001 -m 700 /var/lib/vitalflow/broker2 /var/lib/vitalflow/station2 \
 && install -d -o 10001 -g 10001 -m 700 /var/lib/vitalflow/edges-hl7-alerts /var/lib/vitalflow/edges-webhook-alerts
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# By number, so that a cluster that refuses root can verify it.
USER 10001:10001
ENTRYPOINT ["python", "-m", "vitalflow"]
CMD ["ingest"]
