"""Who may come in: certificates, the broker's users and their rights, enrolment and revocation.

No reading comes by here. `ca` and `policy` are pure, `authority` keeps the certificates on disk, `control` talks to the
broker, and `enrolment` tells the story of letting somebody in and of turning somebody away.
"""
