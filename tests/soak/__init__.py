"""Endurance: the product's own processes, generated customers, and faults at random (spec 15).

In the order of the data: ``plan`` (what happens when, from a seed alone), ``pods`` (processes that
are killed, frozen and started again), ``deployment`` (all that runs), ``customers`` and
``azure_customers`` (what they do and what must come of it), ``lives`` and ``azure_lives`` (let them
do it), ``operators`` (revive what was given up), ``faults`` (how each is done), ``growth`` (memory
and connections of processes), ``judge`` (what is wrong at the end), ``alarms`` (which alerts'
conditions held), ``tampering`` (a wrong number is noticed), ``report``, and ``run`` (all of it).
"""
