"""Microsoft Azure: polls of virtual machines, their sizes, and the Lighthouse delegation (spec 06).

From Azure to the database, in the order of a poll:

- get: ``credentials``, ``links``, ``retry_after``, ``bounded``, ``client``, ``errors``;
  ``describe`` has a function for each request
- transform, pure: ``transform`` (one entry), ``scan`` (a whole subscription, and what follows from
  it), ``compare`` (what changed), ``verdict`` (images), ``records``
- ``reader`` gets and transforms a whole subscription, with ``architectures``
- load: ``known`` reads what is stored, ``images`` and ``load`` write the differences
- ``discovery`` puts these together and decides what is polled

Beside that: ``provider``, ``own`` and ``visibility`` (the life of accounts), ``offer`` and
``assignments`` (the delegation and its end), ``definitions`` (sizes).
"""
