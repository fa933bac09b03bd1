"""What a user can get wrong, in one family: every message says what, where, and what to do."""

from __future__ import annotations


class FullconvError(Exception):
    """A mistake that the person at the keyboard can mend.

    The shell prints the sentence and exits 2; no traceback is shown.

    Args:
        problem: what is wrong, with the offending value.
        where: the file, option or parameter that holds it.
        remedy: what to do about it.

    >>> str(FullconvError("7 is no class id", where="0001.png", remedy="add it to classes.txt"))
    '0001.png: 7 is no class id; add it to classes.txt.'
    """

    def __init__(self, problem: str, *, where: object = None, remedy: str | None = None) -> None:
        self.problem = _printable(problem)
        self.where = None if where is None else _printable(str(where))
        self.remedy = None if remedy is None else _printable(remedy)
        place = "" if self.where is None else f"{self.where}: "
        advice = "" if self.remedy is None else f"; {self.remedy}"
        super().__init__(f"{place}{self.problem}{advice}".rstrip(".") + ".")


def _printable(text: str) -> str:
    """The half characters that stand for bytes of file names which are no UTF-8 can be written nowhere else."""
    return text.encode(errors="backslashreplace").decode()


class DataError(FullconvError):
    """Images, labels, class files or datasets that cannot be used as they are."""


class PlanError(FullconvError):
    """An experiment whose settings contradict each other, the data or the machine."""


class NetworkError(FullconvError):
    """A network name, backbone or weight file that cannot be used."""


class NotConvolutional(NetworkError):
    """A network that no surgery can make dense or rarefied: the message names the module and the obstacle."""


class PackageError(FullconvError):
    """A model package that is missing, damaged or made for something else."""


class StorageError(FullconvError):
    """A disk that is full, a folder that cannot be written, a name already taken."""


class RemoteError(FullconvError):
    """A workbench that cannot be reached, or what it refuses.

    Args:
        problem, where, remedy: see `FullconvError`.
        status: of HTTP; None where there was no answer.
    """

    def __init__(
        self, problem: str, *, where: object = None, remedy: str | None = None, status: int | None = None
    ) -> None:
        super().__init__(problem, where=where, remedy=remedy)
        self.status = status
