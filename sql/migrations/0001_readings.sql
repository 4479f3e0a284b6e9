-- The tables that ingest writes, for both editions of TimescaleDB.
CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TABLE patient_vitals (
    time          timestamptz NOT NULL,
    device_id     text        NOT NULL,
    boot          bigint      NOT NULL,
    seq           bigint      NOT NULL,
    patient_id    text,
    ward          text        NOT NULL,
    heart_rate    real,
    spo2          real,
    resp_rate     real,
    temperature   real,
    systolic_bp   real,
    diastolic_bp  real,
    on_oxygen     boolean,
    consciousness text        CHECK (consciousness IN ('A', 'C', 'V', 'P', 'U')),
    sensor_off    text[]      NOT NULL DEFAULT '{}',
    status        text        NOT NULL CHECK (status IN ('NORMAL', 'CRITICAL')),
    received_at   timestamptz NOT NULL,
    -- Makes a redelivered reading harmless. device_id first: nearly every query is about one device.
    PRIMARY KEY (device_id, time, boot, seq)
);
COMMENT ON TABLE patient_vitals IS 'One row a reading: what one device measured of one patient at one moment';
COMMENT ON COLUMN patient_vitals.time IS 'when it was measured, by the device''s clock';
COMMENT ON COLUMN patient_vitals.boot IS 'unix seconds of the device''s start; 0 for a device that has none';
COMMENT ON COLUMN patient_vitals.seq IS '1, 2, 3 ... within a boot; 0 for a device that has none';
COMMENT ON COLUMN patient_vitals.sensor_off IS 'keys of the signs whose sensor was off the patient';
COMMENT ON COLUMN patient_vitals.status IS 'CRITICAL where a sign lies beyond its critical limit, else NORMAL';
COMMENT ON COLUMN patient_vitals.received_at IS 'when ingest took it from the broker';
-- Chunks of a day: 2,000 devices at 1 Hz are 173 million rows a day, a ward of 25 is 2 million. The index on time that
-- this creates serves queries for the last minutes of all devices.
SELECT create_hypertable('patient_vitals', by_range('time', INTERVAL '1 day'));

-- Messages that were not stored, with the reason. At least once: a redelivery after a crash may repeat a row.
CREATE TABLE rejected_message (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at  timestamptz NOT NULL,
    topic        text        NOT NULL,
    payload      bytea       NOT NULL,
    payload_size integer     NOT NULL,
    reason       text        NOT NULL,
    detail       text        NOT NULL
);
COMMENT ON COLUMN rejected_message.payload IS 'as it came; cut at 64 KiB, see payload_size';
COMMENT ON COLUMN rejected_message.payload_size IS 'bytes that came; more than length(payload) where it was cut';
CREATE INDEX ON rejected_message (received_at);

-- The last message on each device's status topic.
CREATE TABLE device (
    device_id  text        PRIMARY KEY,
    ward       text        NOT NULL,
    state      text        NOT NULL CHECK (state IN ('online', 'offline', 'forgotten')),
    boot       bigint      NOT NULL,
    interval_s real,
    model      text,
    changed_at timestamptz NOT NULL
);
COMMENT ON COLUMN device.state IS 'forgotten: the device''s retained status was deleted at the broker';
COMMENT ON COLUMN device.interval_s IS 'seconds between two readings, as the device announced it';
