-- Acknowledgements, changes of limits, enrolments and revocations, with the user. Written by ingest and never changed.
CREATE TABLE audit_event (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time        timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    who         text,
    action      text        NOT NULL,
    ward        text,
    device_id   text,
    rule        text,
    detail      jsonb       NOT NULL,
    topic       text        NOT NULL,
    -- The remaining columns prevent storing a message twice; see sql/ingest.sql.
    content     bytea       NOT NULL,
    delivery    text,
    once        text        UNIQUE
);
COMMENT ON TABLE audit_event IS 'One row for each thing a person did, or tried to: only added to';
COMMENT ON COLUMN audit_event.time IS 'when, by whoever did it; where the message does not say, when ingest received it';
COMMENT ON COLUMN audit_event.who IS 'the user that the broker vouches for in the topic, else the name in the message; NULL where neither is there';
COMMENT ON COLUMN audit_event.device_id IS 'the device; for enrolment the name of whoever was enrolled or revoked';
COMMENT ON COLUMN audit_event.detail IS 'the rest of the message';
COMMENT ON COLUMN audit_event.content IS 'SHA-256 of the payload';
COMMENT ON COLUMN audit_event.delivery IS 'ingest''s client id and the packet''s number; a broker that delivers again uses the same';
CREATE INDEX ON audit_event (time);
CREATE INDEX ON audit_event (device_id, time);
CREATE INDEX ON audit_event (topic, id);

-- No role is granted the right to change a row. The trigger protects against accidental changes by the owner.
CREATE FUNCTION audit_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_event is only added to: % is refused', lower(TG_OP) USING ERRCODE = 'insufficient_privilege',
        HINT = 'where the law demands it, the owner may disable the trigger audit_is_only_added_to, and should write down why';
END $$;
CREATE TRIGGER audit_is_only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();
