"""Runs, independent of the executor: queue, records, idempotency keys and retention."""
