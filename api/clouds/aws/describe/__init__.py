"""Descriptions of an account's instances by EC2 (spec 04 §7).

In the order of the data: ``sync`` runs the walk, on request of ``requests`` or for ``gaps``;
``read`` asks all regions through ``ec2``, ``diff`` compares with what is known, ``records`` says
what is to be stored, ``load`` stores it; ``health`` tells which accounts cannot be described.
"""
