"""unit: pure, no servers. integration: one room on real servers. acceptance: processes, kills, promises."""
