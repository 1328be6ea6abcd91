"""`make demo`: from one department config to a certificate, and its renewal, on the lab."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.lab import lab as lab_module
from tests.lab import leaks
from tests.lab.certbot import Certificate, Result
from tests.lab.errors import LabError
from tests.lab.lab import Lab

FOLDER = Path(__file__).resolve().parents[2] / ".demo"
NAMES = ("www.labo.univ-lyon1.test", "*.labo.univ-lyon1.test")
LINEAGE = NAMES[0]


def main() -> int:
    """Run the demo in `.demo/` of the checkout; the exit code."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    say("Starting a CA that demands EAB (Pebble), and two name servers (BIND), on loopback ...")
    try:
        with lab_module.start(FOLDER) as lab:
            show(lab)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    say("Everything is stopped. The files are in .demo/ until the next run or `make clean`.")
    return 0


def show(lab: Lab) -> None:
    """One certificate, one renewal, and where the secrets are not."""
    config = lab.write_department_config()
    say(f"The department config, {relative(config)}:")
    print(indent(masked(config.read_text(encoding="utf-8"), lab)))

    with leaks.watched_process_list(the_secrets(lab)) as seen:
        options = [option for name in NAMES for option in ("-d", name)]
        run(lab, "certonly", "-n", "--configurator", "tcs-lyon1", *options)
        first = lab.client.certificate(LINEAGE)
        tell(first)
        run(lab, "renew", "--force-renewal")
        second = lab.client.certificate(LINEAGE)
        tell(second)
    check(first.serial != second.serial, "the certificate has changed")
    conf = lab.client.config_dir / "renewal" / f"{LINEAGE}.conf"
    say(f"What certbot keeps for the next renewal, {relative(conf)}:")
    print(indent(lab.client.renewal_text(LINEAGE)))

    found = leaks.files_with(the_secrets(lab), lab.client.folder, except_for=[config])
    check(not found, "no log, no renewal/*.conf and no other file of certbot's holds a secret")
    check(not seen, "the process list has never shown a secret")


def run(lab: Lab, *args: str) -> Result:
    """Run certbot, show the command and what it prints; LabError if it fails."""
    say("certbot " + " ".join(f"'{arg}'" if "*" in arg else arg for arg in args))
    result = lab.certbot(*args)
    print(indent(result.stderr + result.stdout))
    if result.returncode != 0:
        raise LabError(f"certbot failed; its log is in {relative(lab.client.logs_dir)}")
    return result


def tell(certificate: Certificate) -> None:
    """Print names, issuer, dates and serial number."""
    print(f"  names      {', '.join(certificate.names)}")
    print(f"  issuer     {certificate.issuer}")
    print(f"  valid      {certificate.not_before} to {certificate.not_after} UTC")
    print(f"  serial     {certificate.serial:x}")


def check(holds: bool, statement: str) -> None:
    """Print what was checked; LabError if it does not hold."""
    if not holds:
        raise LabError(f"It is not true that {statement}.")
    say(f"Checked: {statement}.")


def the_secrets(lab: Lab) -> list[str]:
    """The HMAC key and the TSIG secret."""
    return [lab.eab_hmac_key, lab.key.secret]


def masked(text: str, lab: Lab) -> str:
    """`text` with dots for its secrets."""
    for secret in the_secrets(lab):
        text = text.replace(secret, "\N{BULLET}" * 8)
    return text


def relative(path: Path) -> Path:
    """`path` as seen from the checkout."""
    return path.relative_to(FOLDER.parent)


def indent(text: str) -> str:
    """`text`, two blanks further right, without empty lines at its ends."""
    return "\n".join(f"  {line}".rstrip() for line in text.strip("\n").splitlines())


def say(text: str) -> None:
    """Print a step of the demo."""
    print(f"\n> {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
