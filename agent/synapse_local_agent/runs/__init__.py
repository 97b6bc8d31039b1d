"""Runs, whatever carries them out: the queue, records, idempotency keys and what is kept."""
