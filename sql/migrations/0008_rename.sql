-- Standard names for tables, columns, views and functions, before the first release. Renaming keeps rows, grants, and
-- the views that depend on what is renamed. Views and functions exist here only in a database that was migrated before;
-- repeatable/ and editions/ define them again afterwards, in every database.
ALTER TABLE vitalflow_period RENAME TO retention_setting;
ALTER TABLE late_bucket RENAME TO rollup_invalidation;
ALTER TABLE late_total RENAME TO rollup_invalidation_stats;
ALTER TABLE rollup_invalidation_stats RENAME COLUMN only_one TO singleton;
ALTER TABLE vitalflow_edition RENAME COLUMN only_one TO singleton;
ALTER TABLE audit_event RENAME COLUMN who TO actor;
ALTER TABLE audit_event RENAME COLUMN content TO payload_sha256;
ALTER TABLE audit_event RENAME COLUMN delivery TO delivery_id;
ALTER TABLE audit_event RENAME COLUMN once TO dedup_key;
ALTER SEQUENCE late_bucket_id_seq RENAME TO rollup_invalidation_id_seq;
ALTER TRIGGER audit_is_only_added_to ON audit_event RENAME TO audit_event_append_only;
ALTER FUNCTION audit_is_only_added_to() RENAME TO audit_event_append_only;

-- Constraints keep the names that PostgreSQL gave them after the old tables and columns. (PostgreSQL 18 names NOT NULL
-- too.)
DO $$
DECLARE
    old_names CONSTANT text[] := '{vitalflow_period,late_bucket,late_total,_only_one,_who,_content,_delivery,_once}';
    new_names CONSTANT text[] := '{retention_setting,rollup_invalidation,rollup_invalidation_stats,_singleton,_actor,'
                                 '_payload_sha256,_delivery_id,_dedup_key}';
    renamed record;
    new_name text;
BEGIN
    FOR renamed IN
        SELECT conrelid::regclass AS relation, conname AS name FROM pg_constraint
        WHERE conrelid IN ('retention_setting'::regclass, 'rollup_invalidation'::regclass, 'vitalflow_edition'::regclass,
                           'rollup_invalidation_stats'::regclass, 'audit_event'::regclass)
    LOOP
        new_name := renamed.name;
        FOR i IN 1 .. cardinality(old_names) LOOP
            new_name := replace(new_name, old_names[i], new_names[i]);
        END LOOP;
        IF new_name <> renamed.name THEN
            EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', renamed.relation, renamed.name, new_name);
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION audit_event_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_event is append-only: % is refused', lower(TG_OP) USING ERRCODE = 'insufficient_privilege',
        HINT = 'where the law requires it, the owner can disable the trigger audit_event_append_only; record the reason';
END $$;

ALTER VIEW IF EXISTS reading_shape RENAME TO patient_vitals_template;
ALTER VIEW IF EXISTS held_reading RENAME TO last_valid_vitals;
ALTER VIEW IF EXISTS bed_limit RENAME COLUMN who TO actor;
ALTER VIEW IF EXISTS rollup_now RENAME COLUMN reaches TO watermark;
DROP FUNCTION IF EXISTS for_every_sign(text), rollup_queries(),
    alert_timeline(text[], timestamptz, timestamptz, bigint, integer);
DO $$
BEGIN
    IF to_regprocedure('news2_hold(text)') IS NOT NULL THEN
        ALTER FUNCTION news2_hold(text) RENAME TO news2_max_age;
    END IF;
    IF to_regprocedure('policy_relation(text)') IS NOT NULL THEN
        ALTER FUNCTION policy_relation(text) RENAME TO hypertable_id;
    END IF;
    -- The job is registered by its procedure's name. editions/community/40_policies.sql adds it under the new one.
    IF (SELECT community FROM vitalflow_edition) THEN
        PERFORM delete_job(job_id) FROM timescaledb_information.jobs WHERE proc_name = 'refresh_late';
    END IF;
    DROP PROCEDURE IF EXISTS refresh_late(integer, jsonb);
END $$;

COMMENT ON TABLE patient_vitals IS 'one row per reading: the signs that one device measured at one time';
COMMENT ON COLUMN patient_vitals.time IS 'time of measurement, by the device''s clock';
COMMENT ON COLUMN patient_vitals.boot IS 'start of the device in Unix seconds; 0 for a device that sends none';
COMMENT ON COLUMN patient_vitals.seq IS 'number of the reading within a boot, from 1; 0 for a device that sends none';
COMMENT ON COLUMN patient_vitals.sensor_off IS 'keys of the signs whose sensor was not attached to the patient';
COMMENT ON COLUMN patient_vitals.status IS 'CRITICAL if a sign is beyond its critical limit, otherwise NORMAL';
COMMENT ON COLUMN patient_vitals.received_at IS 'time at which ingest received the reading from the broker';
COMMENT ON TABLE rejected_message IS 'messages that were not stored, with the reason; a redelivered one may be listed twice';
COMMENT ON COLUMN rejected_message.payload IS 'as received, truncated to 64 KiB; see payload_size';
COMMENT ON COLUMN rejected_message.payload_size IS 'size as received, in bytes; more than length(payload) if truncated';
COMMENT ON TABLE device IS 'the last status message of each device';
COMMENT ON COLUMN device.state IS 'online, offline, or forgotten: its retained status was deleted at the broker';
COMMENT ON COLUMN device.interval_s IS 'seconds between two readings, as announced by the device';
COMMENT ON COLUMN device.dropped IS 'readings of this boot that the device discarded because its outbox was full';
COMMENT ON TABLE alert_event IS 'one row per change of an alert: raised, escalated, acknowledged, cleared ...';
COMMENT ON COLUMN alert_event.revision IS '1 when raised, increased by one with every change';
COMMENT ON COLUMN alert_event.level IS 'the level of the rule that applies, 1 being the mildest; 0 if the condition has ended';
COMMENT ON COLUMN alert_event.value IS 'the measured value at the last raise, escalation or de-escalation';
COMMENT ON COLUMN alert_event.since IS 'start of the condition; raised_at is the end of the rule''s delay';
COMMENT ON COLUMN alert_event.changed_at IS 'by the time of the readings, or by the worker''s clock for commands of users';
COMMENT ON TABLE alert_latest IS 'the newest change of each rule of each device; see the view alert_active';
COMMENT ON TABLE audit_event IS 'one row per action, or attempted action, of a user; append-only';
COMMENT ON COLUMN audit_event.time IS 'time of the action; if the message has none, the time at which ingest received it';
COMMENT ON COLUMN audit_event.actor IS 'the user in the topic, which the broker enforces, otherwise the name in the message; NULL if neither is known';
COMMENT ON COLUMN audit_event.device_id IS 'the device; for enrolment the name of the user or device';
COMMENT ON COLUMN audit_event.detail IS 'the remaining fields of the message';
COMMENT ON COLUMN audit_event.payload_sha256 IS 'SHA-256 of the payload';
COMMENT ON COLUMN audit_event.delivery_id IS 'client id and packet identifier of the delivery; the same when the broker redelivers';
COMMENT ON COLUMN audit_event.dedup_key IS 'prevents storing the same message twice; NULL for a message that may be repeated';
COMMENT ON TABLE reader_ward IS 'the wards that a member of vitalflow_ward_reader can read; a role without a row reads nothing';
COMMENT ON TABLE retention_setting IS 'retention and refresh periods, as last applied by migrate';
COMMENT ON TABLE rollup_invalidation IS 'minutes that late readings changed and the rollups do not include yet';
COMMENT ON TABLE rollup_invalidation_stats IS 'late readings and minutes that were refreshed since the database was created';
COMMENT ON COLUMN rollup_invalidation_stats.minutes IS 'minutes refreshed; a minute that was invalidated twice may count twice';
COMMENT ON TABLE vitalflow_edition IS 'the edition of TimescaleDB that this database was last migrated on';
COMMENT ON TABLE vitalflow_rollup IS 'the query that each rollup was created with';
COMMENT ON TABLE vitalflow_backfill IS 'readings that new rollups do not include yet; migrate continues from done_to';
COMMENT ON TABLE vitalflow_migration IS 'the applied migrations and their text';
