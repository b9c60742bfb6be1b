"""Amazon Web Services: roles, trails, logs, instances and their types (spec 04).

``provider`` is what the rest of the program knows of it. In rooms of their own are
``provisioning``, ``cloudtrail``, ``audit``, ``describe`` and ``inspection``. They share ``session``
with ``arn``, ``policy``, ``errors`` and ``response_parsers``, to talk to AWS; ``selectors`` and
``images``, for what is stored; ``spans``, ``metered_times`` and ``backlog``, for when accounts were
metered and whether ingest works; ``notified_files``, for what S3 notifies to our queues.
``definitions`` stores the sizes of instance types.
"""
