"""What the service owns in its own AWS account (spec 04 §10, 08 §17).

``resources`` lists it; ``notifying_buckets`` names buckets and their queues, ``buckets`` with
``bucket_settings`` and ``queues`` make and use them, ``dead_letters`` redrives,
``launch_template`` and ``direct_rights`` serve inspections, ``export_bucket`` exports.
"""
