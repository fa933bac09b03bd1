"""What a workbench refuses, beside what the library refuses: each with its HTTP status."""

from __future__ import annotations

from fullconv.errors import FullconvError


class Refusal(FullconvError):
    """A request that cannot be answered as asked.

    Args:
        problem, where, remedy: see `FullconvError`.
    """

    status = 400
    title = "Bad request"


class NotThere(Refusal):
    """There is nothing of that name."""

    status = 404
    title = "Not found"


class Forbidden(Refusal):
    """It is there, and not for this visitor."""

    status = 403
    title = "Forbidden"


class TooSlow(Refusal):
    """What a request brings did not come any more."""

    status = 408
    title = "Request timeout"


class Conflict(Refusal):
    """It cannot be done as things stand: a name taken, a run that is needed."""

    status = 409
    title = "Conflict"


class TooLarge(Refusal):
    """More bytes, files or pixels than the workbench takes."""

    status = 413
    title = "Too large"


class Unsupported(Refusal):
    """A kind of content that cannot be read, or an answer that cannot be given."""

    status = 415
    title = "Unsupported media type"


class Busy(Refusal):
    """Too many wait already; coming back later helps."""

    status = 503
    title = "Busy"
