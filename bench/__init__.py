"""What it costs, measured as a ratio against a reference in the same run, because machines are noisy.

`vitalflow bench drain` is the first; each measurement is a module with one story function.
"""
