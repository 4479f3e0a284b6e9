"""The same servers and services as docker-compose.yml, as local processes, for a machine with no Docker.

`programs` says where Mosquitto and PostgreSQL come from, `servers` starts and stops one of each (the tests
use both rooms too), the rest is the stack itself: its processes, its screen, its command line.
"""
