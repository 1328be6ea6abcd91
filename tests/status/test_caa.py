"""Which CAA records let which CA issue, for which account (RFC 8659, RFC 8657)."""

from __future__ import annotations

import dns.rrset
import pytest

from certbot_tcs_lyon1.status import caa

ACCOUNT = "https://ca.test/acct/1"


def _records(text: str) -> dns.rrset.RRset:
    return dns.rrset.from_text_list("univ-lyon1.test.", 60, "IN", "CAA", text.split(", "))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('0 issue "sectigo.com"', True),
        ('0 issue "SECTIGO.com."', True),
        ('0 issue "harica.gr"', False),
        ('0 issue "harica.gr", 0 issue "sectigo.com"', True),
        ('0 issue ";"', False),
        ('0 iodef "mailto:rao@univ-lyon1.test"', True),
        (f'0 issue "sectigo.com; accounturi={ACCOUNT}"', True),
        ('0 issue "sectigo.com; accounturi=https://ca.test/acct/2"', False),
        ('0 issue "sectigo.com; validationmethods=http-01,dns-01"', True),
        ('0 issue "sectigo.com; validationmethods=http-01"', False),
        ('0 issuewild ";"', True),
        ('128 tbs "unknown", 0 issue "sectigo.com"', False),
    ],
)
def test_a_ca_may_issue_if_the_records_name_it_its_account_and_the_method(text, right):
    assert caa.permits(_records(text), ["sectigo.com"], ACCOUNT, wild=False) is right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('0 issue "sectigo.com"', True),
        ('0 issue "sectigo.com", 0 issuewild ";"', False),
        ('0 issue ";", 0 issuewild "sectigo.com"', True),
    ],
)
def test_for_a_wildcard_issuewild_goes_before_issue(text, right):
    assert caa.permits(_records(text), ["sectigo.com"], ACCOUNT, wild=True) is right


def test_the_record_to_ask_for_lets_the_ca_issue():
    text = caa.to_ask_for("univ-lyon1.test", ["sectigo.com"], ACCOUNT, wild=False)
    records = _records(text.partition(" CAA ")[2])
    assert caa.permits(records, ["sectigo.com"], ACCOUNT, wild=False)
    assert not caa.permits(records, ["harica.gr"], ACCOUNT, wild=False)


def test_where_there_is_no_account_yet_no_accounturi_fits():
    records = _records(f'0 issue "sectigo.com; accounturi={ACCOUNT}"')
    assert not caa.permits(records, ["sectigo.com"], None, wild=False)
