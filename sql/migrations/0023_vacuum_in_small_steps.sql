-- A vacuum of the present chunk comes after every fifth of it that is added, and by default takes up to 0.6 of a core for
-- seconds, while alerts wait. With a pause five times as long it takes a fifth of that, for as much longer.
ALTER TABLE patient_vitals SET (autovacuum_vacuum_cost_delay = 10);
