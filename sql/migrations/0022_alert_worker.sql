-- The alert workers that have published every alert that they know. Each process that takes over has a higher epoch, so an
-- open alert of a lower one has ended unseen: it had not reached the broker that took over, or a broker lost it.
CREATE TABLE alert_worker (
    writer text   NOT NULL,
    epoch  bigint NOT NULL,
    wards  text[] NOT NULL,
    PRIMARY KEY (writer, epoch)
);
COMMENT ON TABLE alert_worker IS 'alert workers, one row for each start or take-over; see the view alert_end_unseen';
COMMENT ON COLUMN alert_worker.wards IS 'the wards whose alerts it has published; + is all';
