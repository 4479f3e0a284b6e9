-- For the alerts that were open at a given time: those cleared after it are found by this index.
CREATE INDEX alert_event_cleared ON alert_event (changed_at) WHERE state = 'cleared';
