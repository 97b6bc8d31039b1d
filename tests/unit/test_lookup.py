"""Valid and invalid lookups."""

from __future__ import annotations

import enum
from types import MappingProxyType, SimpleNamespace
from typing import Any
from urllib.parse import unquote

import httpx
from hypothesis import example, given, settings
from hypothesis import strategies as st
from synapse_agent_api.models import PluginRelease
from synapse_agent_sdk import ReleaseLookup
from synapse_agent_sdk.endpoints import run_plugin_release

from tests.unit.helpers import refusal

RELEASE = {"id": 7, "plugin": "ocr_plugin", "version": "2.0.0"}
NAME = "ocr_plugin@2.0.0"
Pinned = enum.Enum("Pinned", {"OCR": NAME}, type=str)  # an enum whose str() is not its value
Ids = enum.IntEnum("Ids", {"OCR": 7})


def test_every_form_of_lookup_is_accepted() -> None:
    """A lookup is an id, code@version, an enum of these, or a release returned by the client."""
    forms: list[tuple[Any, str]] = [
        *((text, text) for text in ("123", "@scope/plugin@1", "x/../../jobs/1@1", "검사@1.0")),
        *(
            (form, "7")
            for form in (MappingProxyType(RELEASE), {"id": "7"}, PluginRelease(7, "ocr_plugin", "2.0.0"), Ids(7))
        ),
        *((form, NAME) for form in ({**RELEASE, "id": None}, ReleaseLookup(NAME), Pinned(NAME))),
        (SimpleNamespace(plugin="ocr_plugin", version="2.0.0"), NAME),
        ({"plugin": "scope@plugin", "version": "1", "config": {}}, "scope@plugin@1"),
        (0, "0"),
    ]
    for form, value in forms:
        lookup = ReleaseLookup.parse(form)
        assert lookup.value == str(lookup) == value


WRONG: list[Any] = [
    *("", "   ", "ocr_plugin", "@2.0.0", "ocr_plugin@", " @2.0.0", "ocr_plugin@ ", ".", "..", "../x"),
    *("-1", -1, "1.5", 1.5, True, None, b"123", " 123", "١٢٣", "ocr_plugin@2.0.0\r\nX-Injected: 1"),
    *("ocr\x00plugin@1", "ocr\u2028plugin@1", "ocr\ud800plugin@1", "x" * 2**20),
    *({}, {"id": True}, {"id": ""}, {"id": 1.5}, {"id": {"id": 7}}, {"plugin": "ocr_plugin"}, {"version": "2.0.0"}),
    *({**RELEASE, "id": None, "plugin": ""}, {"plugin": "ocr_plugin", "version": " "}),
    *({"plugin": "ocr_plugin", "version": 2.0}, {"plugin": "ocr_plugin", "version": "2@0"}),
]


def test_an_invalid_lookup_is_rejected() -> None:
    """An invalid lookup raises a one-line ValueError that quotes it and shows the valid forms."""
    forms = "its id, such as 123, or code@version, such as ocr_plugin@2.0.0"
    for wrong in WRONG:
        message = refusal(ValueError, ReleaseLookup.parse, wrong)
        assert message == f"invalid release {wrong!r:.100}: pass {forms}"
        assert message.isprintable()
        if isinstance(wrong, str):  # also if not parsed
            assert refusal(ValueError, ReleaseLookup, wrong) == message


@settings(max_examples=60)
@given(st.one_of(st.text(), st.integers(), st.builds("{}@{}".format, st.text(), st.text())))
@example("x/../../jobs/1@1")
@example("%2e%2e@1")
@example("..@..")
@example("a?b#c@1")
@example("a\\b@1")
def test_a_lookup_is_one_path_segment_or_rejected(given_lookup: str | int) -> None:
    """Any accepted lookup is one path segment, which decodes to the lookup."""
    try:
        lookup = ReleaseLookup.parse(given_lookup)
    except ValueError:
        return
    call = run_plugin_release(lookup, "train")
    sent = httpx.URL("http://agent:8600/prefix/").join("." + call.url).raw_path.decode()
    before, segment, after = sent.removeprefix("/prefix/").split("/", 2)
    assert (before, after) == ("plugin_releases", "run/")
    assert unquote(segment) == lookup.value == str(given_lookup)
    assert segment not in {"", ".", ".."}
