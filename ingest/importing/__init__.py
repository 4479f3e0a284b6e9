"""`vitalflow import`: recordings of the past into the database, with their original times and averages."""
