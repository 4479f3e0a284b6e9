"""The command line `vitalflow`, which loads the command group that is named and nothing else.

May import every package, but imports a group's package only when that group is used. It has no main loop: `cli` picks
the group, whose own `__main__` module does the work.
"""
