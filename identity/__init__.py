"""Access control: the local CA, the broker's users with their rights, enrolment and revocation.

May import vitals, mqtt and sql. `ca` and `policy` are pure, `authority` keeps the certificates on disk, `dynsec` talks
to the broker's security plugin, and `enrolment` adds and removes users. The loops are `python -m identity renew` and
`accounts`.
"""
