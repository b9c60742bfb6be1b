"""What operators do, written down, and worked on step by step where it takes long (spec 12 §1).

- ``steps``: the parts of a long action, each of which may be repeated.
- ``log``: who did what; starting, cancelling and working on an action.
- ``commands``: actions that a command works on, where ``log`` has a task do it.
"""
