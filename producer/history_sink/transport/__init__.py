"""The queue, seen from the producer: the one home of Celery, kombu and redis."""
