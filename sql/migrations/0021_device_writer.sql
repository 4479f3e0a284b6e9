-- Which ingest wrote the status of a device, and its epoch, as for alerts: an ingest that stood still may still have a
-- status to write after another one has taken over.
ALTER TABLE device
    ADD COLUMN writer text   NOT NULL DEFAULT '',
    ADD COLUMN epoch  bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN device.writer IS 'client id of the ingest that wrote this row; empty before this column';
COMMENT ON COLUMN device.epoch IS 'of that ingest: nanoseconds since 1970 at the start of the process, higher with every process that takes over';
