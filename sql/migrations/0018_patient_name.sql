-- Names of patients, for the station of a site that wants them (VITALFLOW_PATIENT_NAMES). In a schema of their own, which
-- no grant on the tables of public reaches: only vitalflow_names may read it (sql/repeatable/90_grants.sql).
CREATE SCHEMA names;
CREATE TABLE names.patient_name (
    patient_id text        NOT NULL,
    name       text,
    birth_date date,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text        NOT NULL
);
COMMENT ON TABLE names.patient_name IS 'one row per patient whose name or date of birth a user has entered at the station';
COMMENT ON COLUMN names.patient_name.patient_id IS 'the hospital''s patient id, as in assignment; one row for all spellings in upper and lower case';
COMMENT ON COLUMN names.patient_name.changed_by IS 'the user of the station who entered it last';
CREATE UNIQUE INDEX patient_name_of_number ON names.patient_name (lower(patient_id));
