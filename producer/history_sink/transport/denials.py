"""Whether a broker has refused what was asked because of who asked. Then it is there, and waiting does not help."""

from history_sink.errors import Denied

_LOGIN = (0, 0)  # amqp's number for the method of an error that belongs to no method: nobody is logged in


def find_denial(error: BaseException) -> Denied | None:
    """What to raise in place of `error`, or of what has caused it; None where that was something else."""
    from amqp.exceptions import AccessRefused
    from redis.exceptions import NoPermissionError

    cause: BaseException | None = error
    while cause is not None:
        is_refused = isinstance(cause, AccessRefused) and tuple(cause.method_sig or _LOGIN) != _LOGIN
        if is_refused or isinstance(cause, NoPermissionError):
            text = " ".join(str(cause).split())[:200]
            return Denied(f"denied: the broker does not let this user do that: {text}")
        cause = cause.__cause__ or cause.__context__
    return None
