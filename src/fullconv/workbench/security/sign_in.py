"""The one page that a visitor without a token sees: it asks for it."""

from __future__ import annotations

from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

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
<form method="post" action="/sign-in"><label>Token <input name="token" type="password" autofocus required></label>
<button>Open</button></form></body></html>
"""


def sign_in_page(scope: Scope, *, wrong: bool = False) -> Response:
    """The form; what was asked for is not told to somebody without a token."""
    said = '<p class="wrong" role="alert">That is not the token.</p>' if wrong else ""
    return HTMLResponse(_PAGE.format(wrong=said), status_code=401 if scope["path"] != "/sign-in" or wrong else 200)
