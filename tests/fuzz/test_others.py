"""The journal, and what a CA says."""

from __future__ import annotations

import contextlib
import json
import unicodedata

import josepy
from acme import messages
from hypothesis import example, given
from hypothesis import strategies as st

from certbot_tcs_lyon1 import errors
from certbot_tcs_lyon1.ca import advice
from certbot_tcs_lyon1.dns01 import journal

_ENTRY = {"section": "dns", "zone": "x.", "ip": "::1", "port": 53, "label": "a", "records": []}
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*_ENTRY]), inner),
    max_leaves=6,
)
_ENTRIES = st.lists(
    st.builds(lambda **other: {**_ENTRY, **other}, records=_JSON, port=_SCALARS), max_size=3
)


@given(st.one_of(_ENTRIES, _JSON).map(json.dumps) | st.text())
@example(json.dumps([_ENTRY]).replace("53", "1e953"))
@example("[" * 100_000)
@example(json.dumps([_ENTRY]).replace("53", "9" * 5000))
def test_a_journal_is_read_or_told_to_be_damaged(tmp_path, text):
    path = tmp_path / "journal.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(journal.JournalError, errors.Error):
        journal.read(str(path))


#: Control, format, surrogate, and the separators of lines.
MOVES = {"Cc", "Cf", "Cs", "Zl", "Zp"}

_ORDER = advice.Order("labo", "kid", "https://acme.x/dir", None, ("a.fr", "b.fr"))
_NASTY = st.text("\x00\x1b[2J\r\n\u202e{}%é ", max_size=20)
_TYPES = st.sampled_from(sorted(messages.ERROR_CODES)).map("urn:ietf:params:acme:error:{}".format)
_DETAILS = st.one_of(
    st.text(max_size=60),
    _NASTY,
    st.builds("{} {} {}".format, _NASTY, st.sampled_from(["CAA", "rate", "key", "EAB"]), _NASTY),
)


@given(_TYPES | _NASTY, st.none() | _DETAILS, st.none() | _NASTY)
@example("urn:ietf:params:acme:error:malformed", "\x1b[2J\r\nroot@host# ", None)
@example("urn:ietf:params:acme:error:caa", "{0.__class__}", "{x}")
def test_what_a_ca_says_moves_no_cursor_and_begins_no_line(kind, detail, title):
    error = messages.Error(typ=kind, detail=detail, title=title)
    said = advice.advise(error, _ORDER, shown="") or ""
    lines = said.split("\n")
    shown = said.replace("\t", "").replace("\n", "")
    assert not {unicodedata.category(character) for character in shown} & MOVES
    starts = (f"{_ORDER.server} said: ", "tcs-lyon1: ", "  To do: ", "  Ask:   ", "    ")
    assert all(line.startswith(starts) for line in lines if line)


@given(st.binary(max_size=120) | _DETAILS.map(lambda text: text.encode("utf-8", "replace")))
def test_an_error_of_other_libraries_is_taken_apart(data):
    for error in (
        ValueError(data),
        josepy.errors.DeserializationError(repr(data)),
        OSError(5, data.decode("latin-1")),
    ):
        advice.advise(error, _ORDER, shown="")
