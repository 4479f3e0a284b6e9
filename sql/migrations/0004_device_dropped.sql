-- What a device says it had to give up: a gap that this explains is nobody's riddle.
ALTER TABLE device ADD COLUMN dropped bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN device.dropped IS 'readings of this boot that the device lost to a full outbox, as it says itself';
