"""The servers and services of docker-compose.yml as local processes, for a machine without Docker.

May import every package but bench and tests. `binaries` finds or installs Mosquitto and PostgreSQL, `servers` starts
and stops one of each (tests and bench use these two as well). The main loop is `supervisor.Supervisor.run`.
"""
