"""The advice as data: which text is for which words or kind of a problem.

Texts and words are those of the guide for departments (docs/guide-drao.rst). `tests/lab/front.py`
plays each CA's errors, with their sources. Rows by words come before rows by kind.

How to add one is in CONTRIBUTING.rst, "How to add".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.ca.problems import Problem

_RAO = f"the RAO, {lyon1.CONTACT}"

_NEW_ACCOUNT = (
    f"create a new ACME account for the department in the portal ({lyon1.PORTAL_NEW_ACCOUNT}), and "
    "put its Key ID and HMAC Key into {source}"
)

_LOOP = "Don't repeat the command in a loop: tries are counted"


@dataclass(frozen=True)
class Row:
    """An advice, and the words and kinds of the problems that it is for.

    The texts have fields in braces, which `advice` fills.

    :ivar means: what the problem means here
    :ivar to_do: what to do
    :ivar ask: whom to ask; "" for nobody
    :ivar words: parts of a problem's text, in any case
    :ivar kinds: kinds of problems
    :ivar departments: True for orders of a department only, False for others only, None for both
    :ivar finalizing: True for problems while an order is finalized, False for those before
    :ivar tests: True for `--dry-run` and `--staging` only
    :ivar looks_up_caa: the text has fields about the CAA records of the problem's names
    """

    means: str
    to_do: str
    ask: str = _RAO
    words: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    departments: Optional[bool] = True
    finalizing: Optional[bool] = None
    tests: bool = False
    looks_up_caa: bool = False

    @property
    def asks_the_rao(self) -> bool:
        """Whether `ask` is the RAO, who is there for departments only."""
        return self.ask.startswith(_RAO)

    def fits(self, problem: Problem, of_a_department: bool, of_a_test: bool) -> bool:
        """Return whether the row is for this problem of such an order."""
        if self.departments not in (None, of_a_department) or (self.tests and not of_a_test):
            return False
        if self.finalizing not in (None, problem.finalizing):
            return False
        text = problem.raw.lower()
        return problem.kind in self.kinds or any(words.lower() in text for words in self.words)


_ABOUT_THE_ACCOUNT = (
    Row(
        "{server} does not let {who} have a certificate for {names}. A name is misspelt, is not "
        "validated for this department, or belongs to another one.",
        f"check the spelling; see in the portal ({lyon1.PORTAL_DOMAINS}) which names are "
        "delegated to the department; order names of two departments in two certificates.",
        f"{_RAO}, to validate or delegate a name",
        words=(
            "identifiers are not all linked to the same preauthorized Subject organization",
            "requested identifier has not been delegated",
        ),
    ),
    Row(
        "The Key ID {kid} of department {department} is good for one registration at {server}, and "
        "has had it; the account it made is not in certbot's accounts folder here.",
        "restore that folder (/etc/letsencrypt/accounts) from a backup or from the machine that "
        f"has it; or {_NEW_ACCOUNT}.",
        words=("not awaiting external account binding",),
    ),
    Row(
        "{server} does not know the Key ID {kid} of department {department}: it is miscopied, was "
        "deleted, or belongs to another server.",
        f"copy it again from the portal ({lyon1.PORTAL_ACCOUNTS}) into {{source}}, and compare the "
        "ACME URL there with `server` in the department config.",
        words=("The Key Identifier was not recognized",),
    ),
    Row(
        "The HMAC Key of department {department} is not the one that {server} has for the Key ID "
        "{kid}: it is another's, or was cut short.",
        f"copy eab_hmac_key again from the portal ({lyon1.PORTAL_ACCOUNTS}), whole, into "
        f"{{source}}.",
        words=("Invalid MAC on JWS request",),
    ),
    Row(
        "{server} does not take the account of {who} as bound to that Key ID: the binding has "
        "expired, or is incomplete.",
        f"{_NEW_ACCOUNT}.",
        words=("A Key ID MUST be specified", "No Key ID in JWS header"),
    ),
    Row(
        "For a name among {names} {server} wants a validation, and offers none that certbot could "
        "do: the CA does not hold the domain as validated, or not any more.{addresses}",
        f"have the domain validated in the portal ({lyon1.PORTAL_DOMAINS}) for department "
        "{department}, and run certbot again.",
        words=("does not support any combination of challenges",),
    ),
    Row(
        "certbot was told to answer by another challenge than DNS-01, which is the one that this "
        "plugin answers. It fails as soon as the CA asks for a validation of {names}.",
        "add --preferred-challenges dns to the command, or take preferred-challenges out of "
        "cli.ini.",
        "",
        words=("None of the preferred challenges",),
        departments=None,
    ),
    Row(
        "The account of {who} is gone at {server}: it was removed or deactivated, in the portal or "
        "with certbot unregister.",
        f"{_NEW_ACCOUNT}; certbot then registers with it.",
        words=(
            "account deactivated",
            "account has been deactivated",
            'has status "deactivated"',
        ),
        kinds=("accountDoesNotExist",),
    ),
    Row(
        "{server} registers an account only with a Key ID, an HMAC Key and an e-mail address, and "
        "did not get them all from department {department}.",
        "complete the department config: eab_kid, eab_hmac_key and email.",
        kinds=("externalAccountRequired",),
    ),
)

_ABOUT_THE_NAMES = (
    Row(
        "A CAA record in the DNS forbids {server} to issue for {named}. That is where this test "
        "went, not the CA that your certificates come from.",
        "nothing, as long as the record permits that CA. Don't have it changed for a test.",
        "",
        kinds=("caa",),
        departments=False,
        tests=True,
    ),
    Row(
        "A CAA record in the DNS forbids {server} to issue for {named}. {record}.",
        "{remedy}.",
        "who runs the DNS zone {owners}",
        kinds=("caa",),
        departments=None,
        looks_up_caa=True,
    ),
    Row(
        "{server} issues no certificate for {named}: a name is internal, reserved, forbidden, is "
        "not validated there, or does not exist in the public DNS. HARICA has no other way to "
        "validate a name than its portal: [dns] can't help there.",
        "check the spelling, take a public name, or have it validated in the portal.",
        f"{_RAO}, if it is a public name",
        kinds=("rejectedIdentifier",),
    ),
    Row(
        "{server} issues no certificate for {named}: a name is internal, reserved, forbidden, or "
        "does not exist in the public DNS.",
        "check the spelling, or take a public name.",
        "",
        kinds=("rejectedIdentifier",),
        departments=False,
    ),
)

_ABOUT_THE_REQUEST = (
    Row(
        "{server} does not take the certificate request for {names}; mostly because the profile of "
        "department {department} does not allow its type of key.",
        "add --key-type rsa to the command.",
        f"{_RAO}, which keys the profile allows",
        kinds=("badCSR",),
    ),
    Row(
        "{server} does not take the certificate request for {names}; mostly because the CA does "
        "not allow its type of key.",
        "add --key-type rsa to the command.",
        "",
        kinds=("badCSR",),
        departments=False,
    ),
    Row(
        "{server} does not take the certificate request for {names}; mostly because the profile of "
        "the department or the CA does not allow its type of key.",
        "add --key-type rsa to the command.",
        f"{_RAO}, which keys the profile allows",
        kinds=("malformed",),
        departments=None,
        finalizing=True,
    ),
    Row(
        "The order for {names} was not ready at {server} when certbot asked for the certificate. "
        "With several names the certificate may be issued all the same, and the next order "
        "succeeds.",
        "run the command again, once.",
        f"{_RAO}, if it lasts",
        kinds=("orderNotReady",),
        departments=None,
    ),
    Row(
        "{server} has rejected the nonces of certbot's requests several times. Nothing was "
        "ordered.",
        "run the command again; if it lasts, a proxy on the way may cache the CA's answers.",
        f"{_RAO}, if it lasts",
        kinds=("badNonce",),
        departments=None,
    ),
)

_ABOUT_THE_WAY = (
    Row(
        "{host} has shown a certificate that is not valid by the clock of this machine.",
        "look at the clock (timedatectl), and set it.",
        "who runs this machine's network, if the clock is right",
        words=("certificate is not yet valid", "certificate has expired"),
        departments=None,
    ),
    Row(
        "This machine does not trust the certificate that {host} has shown: a proxy on the way has "
        "one of its own, or the CA certificates of this machine are too old.",
        "apt install --only-upgrade ca-certificates; where a proxy opens TLS, name its certificate "
        "in REQUESTS_CA_BUNDLE.",
        "who runs this machine's network",
        words=("certificate verify failed",),
        kinds=("requests.SSLError",),
        departments=None,
    ),
    Row(
        "The proxy of this machine has not let it through to {host}.",
        "look at HTTPS_PROXY and NO_PROXY in the environment of certbot (for the timer: systemctl "
        "edit certbot).",
        "who runs the proxy",
        words=("Cannot connect to proxy", "Tunnel connection failed", "Unable to connect to proxy"),
        kinds=("requests.ProxyError",),
        departments=None,
    ),
    Row(
        "The name {host} can't be resolved from this machine.",
        "look at `server` in the department config, and at the resolver (/etc/resolv.conf).",
        "who runs this machine's network",
        words=(
            "Name or service not known",
            "Temporary failure in name resolution",
            "Failed to resolve",
            "No address associated with hostname",
        ),
        departments=None,
    ),
    Row(
        "certbot did not get an answer from {server} in time. It had begun to finalize the order, "
        "so a certificate for {names} may be issued all the same.",
        "wait an hour, and look in the portal whether it was issued before you order again. "
        f"{_LOOP}. To let certbot wait longer, set issuance_timeout in the department config.",
        f"{_RAO}, if it lasts",
        kinds=("acme.TimeoutError", "requests.ReadTimeout"),
        finalizing=True,
    ),
    Row(
        "certbot did not get an answer from {server} in time, before it asked for a certificate.",
        f"wait an hour, and try again. {_LOOP}.",
        f"{_RAO}, if it lasts",
        kinds=("acme.TimeoutError", "requests.ReadTimeout"),
        departments=None,
        finalizing=False,
    ),
    Row(
        "The problem is on the side of {server}, or of the network. A certificate for {names} may "
        "be issued all the same.",
        "wait an hour, and look in the portal whether it was issued before you order again. "
        f"{_LOOP}.",
        f"{_RAO}, if it lasts",
        kinds=("serverInternal", "rateLimited", "acme.ClientError"),
        finalizing=True,
    ),
    Row(
        "The problem is on the side of {server}, or of the network. Nothing was issued for "
        "{names}.",
        f"wait an hour, and try again. {_LOOP}.",
        f"{_RAO}, if it lasts",
        kinds=("serverInternal", "rateLimited"),
        departments=None,
    ),
    Row(
        "What answered for {host} is no ACME server ({words}): its own error page, a proxy, or a "
        "network that wants a login first.",
        "look at that URL from this machine (curl -v {server}); if the CA's own page comes, "
        f"wait an hour, and try again. {_LOOP}.",
        f"{_RAO}, if it lasts",
        kinds=("acme.ClientError",),
        departments=None,
    ),
    Row(
        "{host} can't be reached from this machine.",
        "let it reach that host by HTTPS (firewall, proxy), and try again.",
        "who runs this machine's network",
        words=(
            "Connection refused",
            "Network is unreachable",
            "No route to host",
            "Requesting",
        ),
        kinds=(
            "requests.ConnectionError",
            "requests.ConnectTimeout",
            "requests.ReadTimeout",
            "acme.TimeoutError",
            "urllib3.NewConnectionError",
        ),
        departments=None,
    ),
)

#: The first row that fits is used.
ROWS = (*_ABOUT_THE_ACCOUNT, *_ABOUT_THE_NAMES, *_ABOUT_THE_REQUEST, *_ABOUT_THE_WAY)
