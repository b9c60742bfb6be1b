"""A stand-in for houndigrade, the separate program that looks into copied disks (spec 05 §9).

``tree`` has the rules: what a directory that is an image's root says. ``machine`` plays the
instances that cloudigrade launches in the fake AWS: it reads their user data as a machine would,
looks into the tree that stands for the disk, delivers the result and switches the machine off.
"""
