-- The time zone in which the days of a ward are counted: written by `vitalflow db set-time-zone`, read by
-- ward_time_zone(ward).
CREATE TABLE time_zone_setting (
    ward      text PRIMARY KEY,
    time_zone text NOT NULL
);
COMMENT ON TABLE time_zone_setting IS 'time zone of each ward; ward '''': of all wards without a row; no row: UTC';
