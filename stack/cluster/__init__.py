"""A highly available VitalFlow as local processes: two hosts and a witness on 127.0.0.1, to try faults on."""
