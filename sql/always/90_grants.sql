-- Ingest adds and never changes a reading; the reader only reads.
GRANT INSERT, SELECT ON patient_vitals, rejected_message, alert_event TO vitalflow_ingest;
GRANT INSERT, SELECT, UPDATE ON device, alert_latest TO vitalflow_ingest;
GRANT INSERT, SELECT ON late_bucket TO vitalflow_ingest;
GRANT SELECT ON vitalflow_period, vitalflow_edition TO vitalflow_ingest;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO vitalflow_reader;
-- The one thing that removes readings: as the owner, by the period that the owner has set.
REVOKE EXECUTE ON FUNCTION drop_old_readings() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_old_readings() TO vitalflow_ingest;
