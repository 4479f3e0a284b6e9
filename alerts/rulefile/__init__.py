"""Read the rule file (TOML): rules, or every mistake with its line and what was probably meant.

Imports `vitals`. It has no main loop: `parser.load` is called at start, on reload, and by `alerts check`.
"""
