"""AWS's part of an inspection (spec 05 §4, §5).

``disk_copies`` copies images and snapshots, ``instance`` launches the inspecting instance, which
``user_data`` tells what to do; ``tags`` mark what is ours.
"""
