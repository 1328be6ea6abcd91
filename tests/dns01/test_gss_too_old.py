"""Debian 11's dnspython, which has no GSS-TSIG."""

from __future__ import annotations

import dns.tsig
import pytest

from certbot_tcs_lyon1.dns01 import gss
from certbot_tcs_lyon1.errors import DnsError


def test_a_dnspython_without_kerberos_is_told_with_what_to_do(monkeypatch):
    monkeypatch.delattr(dns.tsig, "GSS_TSIG", raising=False)
    with pytest.raises(DnsError, match="cannot sign by Kerberos.*TSIG key"):
        gss._load()
