"""`python -m tests.lab [FOLDER]`: start a lab, say how to use it, and stop it at Ctrl-C."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.lab import lab, process
from tests.lab.errors import LabError

USAGE = """\
The lab runs in {folder}

  ACME directory   {url}
  CA bundle        {ca}  (REQUESTS_CA_BUNDLE)
  EAB              {kid} {hmac}
  primary          {primary}  (takes updates)
  secondary        {secondary}  (Pebble asks this one)
  key file         {key}
  department       {config}

  {command}

Ctrl-C stops it."""


def main() -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="default: a temporary one")
    folder = parser.parse_args().folder
    try:
        with process.exit_on_sigterm(), tempfile.TemporaryDirectory() as temporary:
            with lab.start(folder or Path(temporary)) as started:
                print(usage(started), flush=True)
                while True:  # not signal.pause(): it misses a signal that comes just before it
                    time.sleep(0.2)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def usage(started: lab.Lab) -> str:
    """How to use a lab that runs; it writes the department config that it names."""
    client = started.client
    command = [
        f"REQUESTS_CA_BUNDLE={client.ca_bundle}",
        client.executable,
        "certonly -n -a tcs-lyon1 -d www.labo.univ-lyon1.test",
        *client.folder_options(),
    ]
    return USAGE.format(
        folder=started.folder,
        url=started.pebble.directory_url,
        ca=started.pebble.ca_bundle,
        kid=started.eab_kid,
        hmac=started.eab_hmac_key,
        primary=started.primary.endpoint,
        secondary=started.secondary.endpoint,
        key=started.key_file,
        config=started.write_department_config(),
        command=" ".join(command),
    )


if __name__ == "__main__":
    sys.exit(main())
