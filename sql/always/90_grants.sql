-- Ingest adds and never changes a reading; the reader only reads.
GRANT INSERT, SELECT ON patient_vitals, rejected_message, alert_event TO vitalflow_ingest;
GRANT INSERT, SELECT, UPDATE ON device, alert_latest TO vitalflow_ingest;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO vitalflow_reader;
