"""The daily audit of the trail bucket, and what it repairs (spec 10 §2 proofs A and B, §3.3).

``walk`` goes through all accounts; ``store`` compares with what was processed and keeps what was
found; ``requeue`` announces files again; ``digests`` and ``digest_chain`` say what there must be.
"""
