-- The first and the worst value of an alert. `value` is that of the last change of level, which may be harmless.
ALTER TABLE alert_event
    ADD COLUMN first_value    double precision,
    ADD COLUMN first_value_at timestamptz,
    ADD COLUMN worst_value    double precision,
    ADD COLUMN worst_value_at timestamptz;
COMMENT ON COLUMN alert_event.first_value IS 'the value that raised the alert; NULL for rules without values and before this column';
COMMENT ON COLUMN alert_event.worst_value IS 'the value furthest beyond the limit since the alert was raised, as of this change';
