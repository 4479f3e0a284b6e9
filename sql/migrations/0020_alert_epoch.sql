-- Which worker published a change, and its epoch, which is higher with every process that takes over. Rows from before
-- have none, and are older than every epoch only by their revision.
ALTER TABLE alert_event
    ADD COLUMN writer text   NOT NULL DEFAULT '',
    ADD COLUMN epoch  bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN alert_event.writer IS 'client id of the alert worker that published the change; empty before this column';
COMMENT ON COLUMN alert_event.epoch IS 'of that worker: nanoseconds since 1970 at the start of the process, higher with every process that takes over';
ALTER TABLE alert_latest
    ADD COLUMN writer text   NOT NULL DEFAULT '',
    ADD COLUMN epoch  bigint NOT NULL DEFAULT 0;
