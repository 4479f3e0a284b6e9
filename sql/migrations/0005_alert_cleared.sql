-- "Which alerts were open at that moment": those that were cleared after it are found by when they were.
CREATE INDEX alert_event_cleared ON alert_event (changed_at) WHERE state = 'cleared';
