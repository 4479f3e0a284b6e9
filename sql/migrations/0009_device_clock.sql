-- The clock of each device whose time is not the time of arrival, as ingest estimates it (vitals/clock.py).
CREATE TABLE device_clock (
    device_id    text        PRIMARY KEY,
    clock_offset interval    NOT NULL,
    changed_at   timestamptz NOT NULL
);
COMMENT ON TABLE device_clock IS 'devices whose clock is, or was, wrong; a device without a row has the right time';
COMMENT ON COLUMN device_clock.clock_offset IS 'added to the device''s time it gives the time of arrival; negative: the clock is ahead';
COMMENT ON COLUMN patient_vitals.seq IS '1, 2, 3 ... within a boot; negative: a digest of the content of a reading without a number';
