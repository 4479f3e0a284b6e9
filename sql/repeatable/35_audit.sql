-- The limits that hold for a bed besides those of the rule file, and who set them when.
CREATE OR REPLACE VIEW bed_limit AS
SELECT ward, device_id, actor, time, detail
FROM (SELECT DISTINCT ON (topic) * FROM audit_event WHERE action IN ('set_limits', 'remove_limits') ORDER BY topic, id DESC)
WHERE action = 'set_limits';
COMMENT ON VIEW bed_limit IS 'a row a bed with limits of its own: the last ones that were set, whether or not the worker took them';

-- What an empty stage of ingest looks like. A view, so that ingest may copy its columns and read no reading.
CREATE OR REPLACE VIEW patient_vitals_template AS SELECT * FROM patient_vitals WHERE false;
COMMENT ON VIEW patient_vitals_template IS 'the columns of patient_vitals and never a row';
