-- The wards that a ward reader may read: written by `vitalflow db grant-ward`, read by the views of by_ward.
CREATE TABLE reader_ward (
    role text NOT NULL,
    ward text NOT NULL CHECK (ward <> ''),
    PRIMARY KEY (role, ward)
);
COMMENT ON TABLE reader_ward IS 'the wards that a member of vitalflow_ward_reader sees; no row, nothing to see';
