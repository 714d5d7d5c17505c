"""`make demo`: a transcript through the queue and a worker into MinIO and back, each claim checked on the way."""


class DemoFailed(Exception):
    """Something that the demo claims does not hold."""
