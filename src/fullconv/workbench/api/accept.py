"""Which of the forms that an answer has a visitor wants: the header Accept (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message

from fullconv.workbench.refusals import Unsupported


@dataclass(frozen=True)
class Accepted:
    """A form that was asked for.

    Args:
        form: media type.
        parameters: that came with it, as view=overlay.
    """

    form: str
    parameters: dict[str, str]


def best_form(header: str | None, forms: Sequence[str]) -> Accepted:
    """The form that is wanted most; the first one where all are equally welcome.

    Args:
        header: Accept, as it came.
        forms: media types that can be given.

    Raises:
        Unsupported: none of them is wanted.

    >>> best_form("application/json;q=0.5, image/*; view=overlay", ("image/png", "application/json"))
    Accepted(form='image/png', parameters={'view': 'overlay'})
    >>> best_form(None, ("image/png", "application/json")).form
    'image/png'
    """
    if not (header or "").strip():
        return Accepted(forms[0], {})
    ranges = [_parsed(part) for part in str(header).split(",") if part.strip()]
    offers = []
    for place, form in enumerate(forms):
        fitting = [(_closeness(wanted, form), quality, rest) for wanted, quality, rest in ranges if _fits(wanted, form)]
        if fitting:
            closeness, quality, parameters = max(fitting, key=lambda found: found[0])
            if quality > 0:
                offers.append((-quality, -closeness, place, Accepted(form, parameters)))
    if not offers:
        asked = str(header)[:100]
        raise Unsupported(f"{asked!r} cannot be given", where="Accept", remedy=f"ask for one of {', '.join(forms)}")
    return min(offers, key=lambda offer: offer[:3])[3]


def _parsed(text: str) -> tuple[str, float, dict[str, str]]:
    """Media range, quality, other parameters."""
    message = Message()
    message["content-type"] = text.strip()
    kind, *rest = message.get_params(failobj=[("", "")], header="content-type")
    parameters = {name.lower(): value for name, value in rest}
    try:
        quality = float(parameters.pop("q", 1.0))
    except ValueError:
        quality = 1.0
    return kind[0].strip().lower(), quality, parameters


def _fits(wanted: str, form: str) -> bool:
    return wanted in ("*/*", form, f"{form.partition('/')[0]}/*")


def _closeness(wanted: str, form: str) -> int:
    return 2 if wanted == form else 1 if wanted != "*/*" else 0
