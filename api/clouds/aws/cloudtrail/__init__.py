"""CloudTrail's log files, from the message in the queue to stored events (spec 04 §5, §8).

In the order of the data: ``pipeline`` runs the walk; ``s3_notifications`` and ``object_keys`` say
which files are new, ``read`` fetches them, ``parse`` and ``records`` say what their records mean,
``digests`` what CloudTrail's validation says; ``filter`` selects what is for us,
``enrich`` asks EC2 for what is missing, ``load_by_customer`` and ``load`` store it, ``ingest_log``
records what became of each file, ``metrics`` counts. ``trail`` configures the trail in the
customer's account, ``listing`` says what lies in the bucket, ``replay`` and ``stored_records`` read
it again, ``replay_runs`` remembers how far a replay came.
"""
