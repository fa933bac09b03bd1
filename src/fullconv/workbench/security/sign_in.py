"""The one page that a visitor without a token sees: it asks for it."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from fullconv.workbench.security.tokens import admitted, is_token
from fullconv.workbench.settings import ServerSettings

SIGN_IN = "/sign-in"
LONGEST_FORM = 10_000
"""Bytes."""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>FullConv: sign in</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif }}
body {{ max-width: 26rem; margin: 15vh auto; padding: 0 1rem; line-height: 1.5 }}
input, button {{ font: inherit; padding: .5rem; width: 100%; box-sizing: border-box; margin-top: .5rem }}
.wrong {{ color: light-dark(#b00020, #ff8a95) }}
</style></head>
<body><h1>FullConv</h1>
<p>This workbench asks for a token. It was shown in the terminal when the server started.</p>
{wrong}
<form method="post" action="/sign-in"><label>Token
<input name="token" type="password" autocomplete="current-password" autofocus required></label>
<button>Open</button></form></body></html>
"""


def sign_in_page(scope: Scope, *, wrong: bool = False) -> Response:
    """The form; what was asked for is not told to somebody without a token."""
    said = '<p class="wrong" role="alert">That is not the token.</p>' if wrong else ""
    return HTMLResponse(_PAGE.format(wrong=said), status_code=401 if scope["path"] != SIGN_IN or wrong else 200)


async def signed_in(request: Request, settings: ServerSettings) -> Response:
    """What follows on the form: the first page, or the form once more."""
    length = request.headers.get("content-length", "")
    given = ""
    if length.isascii() and length.isdigit() and int(length) <= LONGEST_FORM:
        given = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0]
    if is_token(settings, given):
        return admitted(RedirectResponse("/", status_code=303), settings)
    return sign_in_page(request.scope, wrong=True)
