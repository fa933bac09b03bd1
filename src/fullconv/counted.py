"""A number of things, in words that agree."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "image"), counted(2000, "image"), counted(0, "class"), counted(3, "batch")
    ('1 image', '2,000 images', '0 classes', '3 batches')
    >>> counted(39, "epoch")
    '39 epochs'
    """
    if number == 1:
        return f"1 {noun}"
    hissing = noun.endswith(("s", "x", "tch", "sh"))
    return f"{number:,} {noun}{'es' if hissing else 's'}"
