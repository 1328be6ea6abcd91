"""From an exception to the advice, and from certbot's log to the console."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Callable, Optional

import pytest
from acme import errors as acme_errors
from acme import messages
from certbot import errors

from certbot_tcs_lyon1.ca import advice
from certbot_tcs_lyon1.ca.listener import Listener

PREFIX = "urn:ietf:params:acme:error:"
SERVER = "https://acme.sectigo.com/v2/OV"
ORDER = advice.Order("labo", "kid-1", SERVER, "0a1b", ("www.labo.test", "mail.labo.test"))
ELSEWHERE = advice.Order(None, None, "https://staging.letsencrypt.org/dir", "0a1b", ORDER.names)
NOT_LINKED = (
    "The identifiers are not all linked to the same preauthorized Subject organization name/address"
)


class ReadTimeout(Exception):
    """As requests' own, which needs no import here."""

    __module__ = "requests.exceptions"


def ca_error(kind: str, detail: Optional[str] = None, **more: Any) -> Any:
    return messages.Error(typ=PREFIX + kind, detail=detail, **more)


def raised(error: BaseException, function: Callable[[Any], None]) -> BaseException:
    """`error` with the traceback of having been raised in `function`."""
    try:
        function(error)
    except Exception as caught:
        return caught
    raise AssertionError


def finalize_order(error: BaseException) -> None:
    raise error


def advise(error: BaseException, order: advice.Order = ORDER, **more: Any) -> str:
    return advice.advise(error, order, **more) or ""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ca_error("unauthorized", NOT_LINKED), ["labo", "kid-1", "0a1b", "Settings, Domains"]),
        (ca_error("malformed", "A requested identifier has not been delegated"), ["labo"]),
        (
            ca_error("malformed", "The account is not awaiting external account binding"),
            ["kid-1", "labo", "/etc/letsencrypt/accounts", "new ACME account"],
        ),
        (
            ca_error("malformed", "The Key Identifier was not recognized"),
            ["kid-1", "Details", "ACME URL", SERVER],
        ),
        (
            ca_error("malformed", "[External Account Binding] Invalid MAC on JWS request"),
            ["kid-1", "eab_hmac_key", "whole", "Details"],
        ),
        (ca_error("malformed", "A Key ID MUST be specified"), ["kid-1", "new ACME account"]),
        (ca_error("malformed", "No Key ID in JWS header"), ["kid-1", "new ACME account"]),
        (ca_error("externalAccountRequired"), ["labo", "eab_kid, eab_hmac_key and email"]),
        (ca_error("accountDoesNotExist"), ["0a1b", "kid-1", "new ACME account"]),
        (ca_error("unauthorized", "account deactivated"), ["0a1b", "new ACME account"]),
        (ca_error("unauthorized", "The account has been deactivated"), ["new ACME account"]),
        (
            ca_error("unauthorized", 'Account is not valid, has status "deactivated"'),
            ["new ACME account"],
        ),
        (ca_error("caa"), ["CAA", '"sectigo.com"', "who runs the DNS zone"]),
        (ca_error("rejectedIdentifier"), ["www.labo.test", "public name"]),
        (ca_error("badCSR"), ["--key-type rsa", "labo"]),
        (raised(ca_error("malformed", "?"), finalize_order), ["--key-type rsa"]),
        (raised(ca_error("serverInternal"), finalize_order), ["issued all", "portal", "loop"]),
        (ca_error("serverInternal"), ["Nothing was issued", "try again", "loop"]),
        (ca_error("rateLimited"), ["Nothing was issued", "try again", "loop"]),
        (raised(ReadTimeout("timeout=45"), finalize_order), ["issued all the same", "portal"]),
        (ReadTimeout("read timeout=45"), ["before it asked for a certificate", "try again"]),
        (raised(acme_errors.TimeoutError(), finalize_order), ["portal", "issuance_timeout"]),
        (ca_error("badNonce"), ["nonces", "again"]),
        (ca_error("orderNotReady"), ["run the command again, once"]),
        (
            acme_errors.ClientError(SimpleNamespace(status_code=503, text="<html>")),
            ["no ACME server (HTTP status 503)", "curl"],
        ),
        (
            acme_errors.ClientError((SimpleNamespace(status_code=400), ValueError("a string"))),
            ["no ACME server (HTTP status 400)"],
        ),
        (
            errors.AuthorizationError(
                "Client with the currently selected authenticator does not support any "
                "combination of challenges that will satisfy the CA."
            ),
            ["portal", "labo", "www.labo.test"],
        ),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_each_row_says_what_it_means_what_to_do_and_whom_to_ask(error, expected):
    text = advise(error)
    assert text.startswith("tcs-lyon1: ")
    assert [line[:9] for line in text.splitlines()[1:]] == ["  To do: ", "  Ask:   "]
    for part in expected:
        assert part in text


def test_an_address_that_the_dns_can_t_validate_is_named_in_the_advice():
    error = errors.AuthorizationError("does not support any combination of challenges")
    order = replace(ORDER, names=("www.labo.test", "192.0.2.1"))
    assert "192.0.2.1 is an IP address" in advice.advise(error, order)
    assert "IP address" not in advice.advise(error, ORDER)


def network(name: str, words: str) -> Exception:
    """An error as requests raises it, which needs no import here."""
    return type(name, (Exception,), {"__module__": "requests.exceptions"})(words)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (network("SSLError", "certificate verify failed: not yet valid"), "ca-certificates"),
        (network("SSLError", "certificate verify failed: certificate is not yet valid"), "clock"),
        (network("SSLError", "certificate verify failed: self-signed"), "REQUESTS_CA_BUNDLE"),
        (network("ProxyError", "Cannot connect to proxy"), "NO_PROXY"),
        (network("ConnectionError", "[Errno -2] Name or service not known"), "resolv.conf"),
        (network("ConnectionError", "[Errno 111] Connection refused"), "firewall"),
        (network("ConnectTimeout", "timed out"), "firewall"),
        (ValueError("Requesting acme.sectigo.com/v2/OV: Connection refused"), "firewall"),
        (ValueError("Requesting acme.sectigo.com/v2/OV: Network is unreachable"), "firewall"),
    ],
    ids=lambda value: str(value)[:50],
)
@pytest.mark.parametrize("order", [ORDER, ELSEWHERE], ids=["department", "elsewhere"])
def test_what_is_in_the_way_to_the_ca_is_told_apart(error, expected, order):
    text = advise(error, order)
    assert expected in text
    assert "issued all the same" not in text
    assert "RAO" not in text


def test_words_of_a_ca_draw_nothing_on_the_terminal_and_are_cut():
    evil = "No\x1b[2J\ntcs-lyon1: pay here\u202e" + "x" * 5000
    text = advise(ca_error("badCSR", evil), shown="")
    first, second, *_ = text.split("\n")
    assert first == f"{SERVER} said: No\\x1b[2J"
    assert second.startswith("    tcs-lyon1: pay here\\u202exxx")
    assert len(text) < 1500


def test_another_preferred_challenge_is_told_with_what_asks_for_it():
    error = errors.AuthorizationError(
        "None of the preferred challenges are supported by the selected plugin"
    )
    assert "--preferred-challenges dns" in advise(error)
    assert "cli.ini" in advise(error)


def test_a_key_id_from_an_option_or_cli_ini_is_said_to_come_from_there():
    given = replace(ORDER, given=True)
    for words in ("The Key Identifier was not recognized", "A Key ID MUST be specified"):
        assert "cli.ini" in advise(ca_error("malformed", words), given)
        assert "cli.ini" not in advise(ca_error("malformed", words))


def test_the_names_for_a_caa_record_are_those_that_the_directory_lists():
    text = advise(ca_error("caa"), lookups=advice.Lookups(identities=lambda _: ["ca.example"]))
    assert 'issue "ca.example"' in text


@pytest.mark.parametrize(
    "error",
    [
        ca_error("malformed", "?"),
        ca_error("unauthorized", "no"),
        errors.PluginError("CAA of the DNS"),
        ValueError("rateLimited"),
        KeyboardInterrupt(),
        TimeoutError(),
    ],
    ids=repr,
)
def test_of_what_no_row_knows_nothing_is_said(error):
    assert advice.advise(error, ORDER) is None


@pytest.mark.parametrize("kind", ["externalAccountRequired", "accountDoesNotExist"])
def test_elsewhere_the_rows_of_departments_do_not_apply(kind):
    assert advice.advise(ca_error(kind), ELSEWHERE) is None


@pytest.mark.parametrize("kind", ["caa", "rejectedIdentifier", "badCSR", "serverInternal"])
def test_elsewhere_neither_department_nor_portal_is_named(kind):
    text = advise(ca_error(kind), ELSEWHERE)
    assert ELSEWHERE.server in text
    for word in ("None", "department", "portal", "RAO", "sectigo"):
        assert word not in text


# What the error was raised from


def chained(cause: Optional[BaseException], context: Optional[BaseException]) -> BaseException:
    error = AttributeError("can't set attribute")
    error.__context__ = context
    error.__cause__ = cause
    error.__suppress_context__ = cause is not None
    return error


def test_it_is_found_on_what_the_error_was_raised_from():
    inner = ca_error("accountDoesNotExist")
    for error in (
        chained(inner, None),
        chained(None, inner),
        chained(None, chained(None, inner)),
        acme_errors.IssuanceError(inner),
        chained(None, acme_errors.IssuanceError(inner)),
    ):
        assert "new ACME account" in advise(error)


def test_it_is_found_in_certbots_text_alone():
    error = errors.Error(f"Unable to register an account with ACME server. Error: {NOT_LINKED}")
    assert "Settings, Domains" in advise(error)


def test_what_was_set_aside_on_purpose_does_not_count():
    error = errors.PluginError("something else")
    error.__context__ = ca_error("accountDoesNotExist")
    error.__suppress_context__ = True
    assert advice.advise(error, ORDER) is None


def test_a_chain_that_runs_in_a_circle_ends():
    one, two = ValueError(), ValueError()
    one.__context__, two.__context__ = two, one
    assert advice.advise(one, ORDER) is None


@pytest.mark.skipif(
    "subproblems" not in messages.Error._fields, reason="acme does not read them there"
)
def test_it_is_found_in_a_part_which_names_the_name():
    part = {"type": PREFIX + "rejectedIdentifier", "identifier": {"type": "dns", "value": "a.test"}}
    whole = messages.Error.from_json({"type": PREFIX + "compound", "subproblems": [part]})
    assert "no certificate for a.test:" in advise(whole)


def test_the_words_of_a_row_come_before_a_type():
    error = acme_errors.IssuanceError(ca_error("rateLimited"))
    error.__context__ = ca_error("malformed", "The Key Identifier was not recognized")
    assert "ACME URL" in advise(error)


def test_names_in_the_cas_words_are_the_ones_it_is_about():
    text = advise(ca_error("rejectedIdentifier", 'Not "mail.labo.test", as it is internal'))
    assert "no certificate for mail.labo.test:" in text


# The CA's own words


def test_the_cas_words_come_first_where_certbot_has_not_shown_them():
    error = chained(None, ca_error("unauthorized", NOT_LINKED))
    text = advise(error, shown="AttributeError: can't set attribute")
    assert text.startswith(f"{SERVER} said: {NOT_LINKED}\ntcs-lyon1: ")


def test_the_cas_words_are_shown_even_if_no_row_knows_them():
    error = chained(None, ca_error("userActionRequired", "Agree to the new terms"))
    assert advise(error, shown="can't set attribute") == f"{SERVER} said: Agree to the new terms"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ca_error("malformed", "Non"), "An error: Non"),
        (ca_error("malformed", "Refusé"), "An error: Refus\\xe9"),
        (ca_error("serverInternal"), "The server experienced an internal error"),
        (ca_error("unknownKind"), PREFIX + "unknownKind"),
    ],
    ids=["detail", "not ASCII", "description", "type"],
)
def test_the_cas_words_are_not_repeated(error, told):
    assert "said" not in advise(error, shown=told)


# CAA


def test_the_caa_record_is_shown_with_the_name_that_holds_it():
    def find(name: str) -> Optional[tuple[str, str]]:
        return {"www.labo.test": ("labo.test", '0 issue "letsencrypt.org"')}.get(name)

    text = advise(ca_error("caa"), lookups=advice.Lookups(caa=find))
    assert 'labo.test has CAA 0 issue "letsencrypt.org".' in text
    assert '`CAA 0 issue "sectigo.com"` added at labo.test' in text
    assert "who runs the DNS zone of labo.test." in text


def test_nobody_is_sent_to_change_a_caa_record_that_only_a_test_ran_into():
    test = advice.Order(None, None, ELSEWHERE.server, "0a1b", ORDER.names, test=True)
    text = advise(ca_error("caa"), test)
    assert ELSEWHERE.server in text
    assert "To do: nothing" in text
    assert "added" not in text
    assert "Ask:" not in text


def test_a_record_that_applies_to_several_names_is_shown_once_and_few_are_looked_up():
    asked = []

    def find(name: str) -> tuple[str, str]:
        asked.append(name)
        return "labo.test", '0 issue ";"'

    many = advice.Order(
        "labo", "kid", "https://ca.test/", None, tuple(f"n{i}.test" for i in range(99))
    )
    text = advise(ca_error("caa"), many, lookups=advice.Lookups(caa=find))
    assert text.count("has CAA") == 1
    assert "a CAA record for this CA added" in text
    assert len(asked) == 3


# certbot's config


@pytest.mark.parametrize(
    ("changes", "department"),
    [
        ({}, "labo"),
        ({"eab_kid": None}, None),
        ({"dry_run": True}, None),
        ({"staging": True}, None),
    ],
)
def test_the_order_is_the_departments_once_its_key_is_set_and_it_is_no_test(changes, department):
    config = SimpleNamespace(
        **{
            "tcs_lyon1_department": "labo",
            "eab_kid": "kid",
            "eab_hmac_key": "c2VjcmV0",
            "server": SERVER,
            "account": None,
            "domains": ["a.test"],
            "certname": None,
            "argument_sources": {},
            "dry_run": False,
            "staging": False,
            **changes,
        }
    )
    order = advice.order_of(config)
    assert (order.department, order.names) == (department, ("a.test",))
    assert (order.eab_kid is None) == (department is None)
    assert "c2VjcmV0" not in repr(order)


# certbot's log


class Console(logging.Handler):
    """What a user sees."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def certbot_log() -> logging.Logger:
    return logging.getLogger("certbot._internal.log")


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    """The root logger with a console, and then what `listen` adds; nothing is left of it."""
    registered: list[Any] = []
    monkeypatch.setattr("atexit.register", registered.append)
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.setLevel(logging.DEBUG)
    found = Console()
    root.addHandler(found)
    yield found
    root.handlers[:] = before
    root.setLevel(level)
    assert len(registered) <= 1


@pytest.fixture
def listener() -> Listener:
    """A process' own."""
    return Listener()


def listen(listener: Listener, plugin: object = "plugin", order: advice.Order = ORDER) -> Listener:
    listener.listen(plugin, lambda error, shown: advice.advise(error, order, shown))
    return listener


def test_a_failed_renewal_is_advised_on_after_certbots_message(console, certbot_log, listener):
    listen(listener)
    error = ca_error("badCSR", "No")
    certbot_log.error("Failed to renew certificate %s with error: %s", "x", error)
    certbot_log.error("All renewals failed.")
    first, second, third = console.lines
    assert (first.split()[0], second.split()[0], third.split()[0]) == (
        "Failed",
        "tcs-lyon1:",
        "All",
    )


def test_an_error_that_ends_certbot_is_advised_on_at_the_end_once(console, certbot_log, listener):
    listen(listener)
    error = chained(None, ca_error("badCSR", "No"))
    certbot_log.debug("Exiting abnormally:", exc_info=(type(error), error, None))
    certbot_log.error("An unexpected error occurred:")
    certbot_log.error("AttributeError: can't set attribute")
    assert len(console.lines) == 2
    listener.advise_at_exit()
    listener.advise_at_exit()
    assert len(console.lines) == 3
    assert console.lines[2].startswith(f"{SERVER} said: No\ntcs-lyon1: ")


def test_with_debug_the_traceback_has_shown_the_cas_words(console, certbot_log, listener):
    listen(listener)
    error = ca_error("badCSR", "No such key")
    certbot_log.error("Exiting abnormally:", exc_info=(type(error), error, None))
    listener.advise_at_exit()
    assert console.lines[1].startswith("tcs-lyon1: ")


def test_without_an_error_nothing_is_said(console, certbot_log, listener):
    listen(listener)
    certbot_log.debug("An error that was mended", exc_info=(ValueError, ca_error("caa"), None))
    certbot_log.warning("Attempting to renew %s: %s", "x", ca_error("caa"))
    certbot_log.error("Nothing %(about)s", {"about": "exceptions"})
    listener.advise_at_exit()
    assert console.lines == ["Nothing exceptions"]


def test_the_same_advice_is_given_once_and_another_too(console, certbot_log, listener):
    for account in ("0a1b", "0a1b", "ffff"):
        listen(listener, order=advice.Order("labo", "kid-1", SERVER, account, ()))
        certbot_log.error("Failed to renew %s: %s", "x", ca_error("accountDoesNotExist"))
    assert [line[:9] for line in console.lines].count("tcs-lyon1") == 2


def test_another_plugins_lineage_is_left_alone(console, certbot_log, listener):
    mine, other = object(), object()
    listen(listener, mine)
    certbot_log.debug("Selected authenticator %s and installer %s", mine, None)
    assert listener._advise_on is not None
    certbot_log.debug("Selected authenticator %s and installer %s", other, None)
    certbot_log.error("Failed to renew %s: %s", "x", ca_error("badCSR"))
    assert len(console.lines) == 1
    listen(listener, mine)
    certbot_log.error("Failed to renew %s: %s", "x", ca_error("badCSR"))
    assert len(console.lines) == 3


def test_what_is_looked_up_for_the_advice_may_log_from_another_thread(
    console, certbot_log, listener
):
    """As urllib3 does for a CA's directory, while `certbot renew` logs one failed lineage."""

    def look_up(error: BaseException, shown: str) -> str:
        asking = threading.Thread(target=lambda: certbot_log.debug("GET %s", SERVER), daemon=True)
        asking.start()
        asking.join(5)
        return "too late" if asking.is_alive() else "in time"

    listener.listen("plugin", look_up)
    certbot_log.error("Failed to renew %s: %s", "x", ca_error("caa"))
    assert console.lines[-1] == "in time"


@pytest.mark.parametrize("fatal", [True, False])
def test_a_fault_of_its_own_never_reaches_certbot(console, certbot_log, listener, fatal):
    def broken(error: BaseException, shown: str) -> None:
        raise RuntimeError("no order")

    listener.listen("plugin", broken)
    error = ca_error("badCSR")
    if fatal:
        certbot_log.debug("Exiting abnormally:", exc_info=(type(error), error, None))
        listener.advise_at_exit()
    else:
        certbot_log.error("Failed to renew %s: %s", "x", error)
    assert [line for line in console.lines if "tcs-lyon1" in line] == []


def test_a_caa_record_that_cannot_be_looked_up_costs_nothing_but_itself():
    def broken(name: str) -> None:
        raise RuntimeError("no DNS")

    assert "dig CAA NAME" in advise(ca_error("caa"), lookups=advice.Lookups(caa=broken))
