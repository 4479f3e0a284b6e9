-- The views of by_ward depend on everything below. repeatable/85_by_ward.sql creates them again in the same
-- transaction. Do not keep objects of your own in that schema.
DROP SCHEMA IF EXISTS by_ward CASCADE;
