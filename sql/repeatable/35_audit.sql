-- The limits of single beds, which replace those of the rule file.
CREATE OR REPLACE VIEW bed_limit AS
SELECT ward, device_id, actor, time, detail
FROM (SELECT DISTINCT ON (topic) * FROM audit_event WHERE action IN ('set_limits', 'remove_limits') ORDER BY topic, id DESC)
WHERE action = 'set_limits';
COMMENT ON VIEW bed_limit IS 'one row per bed with limits of its own: the last that were set, even if the alert worker rejected them';

-- The columns of ingest's staging table. A view, so that ingest can copy the columns without reading a row.
CREATE OR REPLACE VIEW patient_vitals_template AS SELECT * FROM patient_vitals WHERE false;
COMMENT ON VIEW patient_vitals_template IS 'the columns of patient_vitals, without rows';
