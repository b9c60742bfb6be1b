"""Microsoft Azure: polls of virtual machines, sizes, and the Lighthouse delegation (spec 06)."""
