# etcd with a folder for its volume: a new volume takes the owner of the folder, and the vendor's image has no shell.
FROM python:3.13-slim AS folder
RUN install -d /folder/etcd
FROM quay.io/coreos/etcd:v3.5.16
COPY --from=folder --chown=10001:10001 /folder/ /
USER 10001:10001
