"""The rules, as data: one module a subject, each with its `RULES` in the order in which they are tried.

The patterns are pieces of messages of the programs themselves; tests/unit/diagnosis/recorded/ has a whole one for each.
"""
