-- Every change of every alert, as published on MQTT. Written by ingest, so that the alert worker needs no database.
CREATE TABLE alert_event (
    alert_id           uuid        NOT NULL,
    revision           integer     NOT NULL,
    rule               text        NOT NULL,
    priority           text        NOT NULL CHECK (priority IN ('high', 'medium', 'low')),
    kind               text        NOT NULL CHECK (kind IN ('physiological', 'technical')),
    state              text        NOT NULL,
    change             text        NOT NULL,
    level              integer     NOT NULL,
    ward               text        NOT NULL,
    device_id          text        NOT NULL,
    patient_id         text,
    sign               text,
    value              double precision,
    "limit"            double precision,
    unit               text,
    text               text        NOT NULL,
    since              timestamptz NOT NULL,
    raised_at          timestamptz NOT NULL,
    changed_at         timestamptz NOT NULL,
    acknowledged_by    text,
    audio_paused_until timestamptz,
    latched            boolean     NOT NULL,
    reason             text,
    received_at        timestamptz NOT NULL,
    -- The broker repeats an alert at every subscription, and the worker at every connection.
    PRIMARY KEY (alert_id, revision)
);
COMMENT ON TABLE alert_event IS 'One row a change of an alert: raised, escalated, acknowledged, cleared ...';
COMMENT ON COLUMN alert_event.revision IS '1 when raised, one more with every change';
COMMENT ON COLUMN alert_event.level IS 'which level of its rule holds, 1 the mildest; 0 where the condition is over';
COMMENT ON COLUMN alert_event.value IS 'at the last raise, escalation or de-escalation';
COMMENT ON COLUMN alert_event.since IS 'when the condition began; raised_at is when its delay was over';
COMMENT ON COLUMN alert_event.changed_at IS 'by the readings'' own time, or the worker''s clock for what a person did';
-- For the history of a bed, and for the open alerts.
CREATE INDEX ON alert_event (device_id, raised_at);
CREATE INDEX ON alert_event (raised_at);

-- The last change of each rule of each device. One row per device and rule, so that the query for open alerts does not
-- grow with history.
CREATE TABLE alert_latest (
    device_id  text        NOT NULL,
    rule       text        NOT NULL,
    alert_id   uuid        NOT NULL,
    revision   integer     NOT NULL,
    state      text        NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (device_id, rule)
);
COMMENT ON TABLE alert_latest IS 'the newest change of each rule of each device; see the view alert_active';
