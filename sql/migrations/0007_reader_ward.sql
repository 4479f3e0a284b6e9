-- Which wards a reader of some wards only may see: `python -m sql grant-ward` writes it, the views of by_ward ask it.
CREATE TABLE reader_ward (
    role text NOT NULL,
    ward text NOT NULL CHECK (ward <> ''),
    PRIMARY KEY (role, ward)
);
COMMENT ON TABLE reader_ward IS 'the wards that a member of vitalflow_ward_reader sees; no row, nothing to see';
