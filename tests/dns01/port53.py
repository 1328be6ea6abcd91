"""Run in a network namespace: name servers on port 53, found through the zone's NS records."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.lab import lab as lab_module

NAMES = ("www.labo.univ-lyon1.test", "www.univ-lyon1.test")


def main() -> int:
    """Issue a certificate for names of two zones; exit code 0 if both servers were polled."""
    with tempfile.TemporaryDirectory() as folder:
        with lab_module.start(Path(folder), addresses=("127.0.0.2", "fd00::2"), port=53) as lab:
            lab.write_department_config(
                lab.department_config(dns={"server": "127.0.0.2", "check_servers": None})
            )
            options = [option for name in NAMES for option in ("-d", name)]
            result = lab.certbot("certonly", "-n", "-a", "tcs-lyon1", *options)
            print(result.output)
            if result.returncode != 0:
                return 1
            polled = "\n".join(lab.secondary.query_log())
            return int(not all(f"_acme-challenge.{name} IN TXT" in polled for name in NAMES))


if __name__ == "__main__":
    sys.exit(main())
