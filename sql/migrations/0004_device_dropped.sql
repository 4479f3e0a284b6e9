-- Readings that a device reports as discarded, which explains a gap in its numbers.
ALTER TABLE device ADD COLUMN dropped bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN device.dropped IS 'readings of this boot that the device lost to a full outbox, as it says itself';
