-- The patient assigned to each bed, with the history. One row from each message on `assignments/{ward}/{device}` to the
-- next, added by the trigger store_assignment when the message enters the audit log (sql/repeatable/36_assignment.sql).
CREATE TABLE assignment (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id     text        NOT NULL,
    ward          text        NOT NULL,
    patient_id    text,
    profile       text,
    spo2_scale    integer,
    actor         text,
    from_time     timestamptz NOT NULL,
    to_time       timestamptz,
    patient_since timestamptz NOT NULL
);
COMMENT ON TABLE assignment IS 'one row per bed from each assignment or discharge to the next; never deleted';
COMMENT ON COLUMN assignment.patient_id IS 'the hospital''s patient id; NULL: no patient, after a discharge';
COMMENT ON COLUMN assignment.profile IS 'age group (vitals/assignment.py); NEWS2 applies to adult only';
COMMENT ON COLUMN assignment.spo2_scale IS 'SpO2 scale of NEWS2; NULL: that of the bed''s limits, else 1';
COMMENT ON COLUMN assignment.actor IS 'the user who assigned the patient; a discharge names none';
COMMENT ON COLUMN assignment.from_time IS 'as the message states it, but not after its arrival at ingest';
COMMENT ON COLUMN assignment.to_time IS 'NULL in the present row';
COMMENT ON COLUMN assignment.patient_since IS 'since when this patient is assigned without another in between';
CREATE UNIQUE INDEX assignment_present ON assignment (device_id) WHERE to_time IS NULL;
CREATE INDEX ON assignment (device_id, from_time);
-- For the SpO2 scale in a bed's limits: the last change of the limits of one bed, whatever else the log holds.
CREATE INDEX audit_event_limits ON audit_event (device_id, id) WHERE action IN ('set_limits', 'remove_limits');
