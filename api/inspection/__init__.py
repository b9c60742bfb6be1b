"""Life of an image's inspection: how it starts, and what its result means (spec 05).

``request`` begins inspections when ``slots`` has room for them; ``steps`` do the work in AWS, for
which ``shares`` are noted; ``results`` are stored. ``states`` and ``attempts`` say how far each one
came, ``overview`` counts them. ``restart`` and ``reinspection`` begin again, ``cleanup`` removes
what was left behind.
"""
