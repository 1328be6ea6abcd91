"""TSIG keys of the department config, as dnspython takes them."""

from __future__ import annotations

import base64

import dns.tsig
import dns.version
import pytest

from certbot_tcs_lyon1.department.settings import ALGORITHMS, TsigKey
from certbot_tcs_lyon1.dns01 import signing
from certbot_tcs_lyon1.errors import DnsError

SECRET = base64.b64encode(b"the tsig key that nobody may see").decode()


def constant_of(algorithm: str) -> str:
    return algorithm.replace("-", "_").upper()


def test_dnspython_gets_every_algorithm_it_knows() -> None:
    for algorithm in ALGORITHMS:
        constant = constant_of(algorithm)
        if hasattr(dns.tsig, constant):
            key = signing.to_dnspython(TsigKey("labo.example", algorithm, SECRET))
            assert key.name.to_text() == "labo.example."
            assert key.algorithm == getattr(dns.tsig, constant)
            assert key.secret == base64.b64decode(SECRET)


def test_no_algorithm_of_dnspython_is_missing() -> None:
    constants = {name for name in vars(dns.tsig) if name.startswith("HMAC_")}
    assert constants <= set(map(constant_of, ALGORITHMS))


def test_an_algorithm_newer_than_dnspython_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(dns.tsig, "HMAC_SHA512_256", raising=False)
    with pytest.raises(DnsError) as caught:
        signing.to_dnspython(TsigKey("labo", "hmac-sha512-256", SECRET))
    assert f"the installed dnspython {dns.version.version} does not know" in str(caught.value)
    assert SECRET not in repr(caught.value)
