"""The command `certbot-tcs-lyon1`: its subcommands and options."""

from __future__ import annotations

import argparse
import contextlib
import glob
import os
import re
import shutil
import sys
import traceback
from collections.abc import Sequence
from typing import Optional

from certbot_tcs_lyon1 import dns01
from certbot_tcs_lyon1.errors import DnsError
from certbot_tcs_lyon1.status.facts import Folders

#: certbot's defaults, the same in every version in service.
_DEFAULTS = {
    "config-dir": "/etc/letsencrypt",
    "work-dir": "/var/lib/letsencrypt",
    "logs-dir": "/var/log/letsencrypt",
}
#: A line of cli.ini, as certbot's ConfigArgParse parses it.
_LINE = re.compile(
    r"""\s*-*(?P<name>[^:=;\#\s[]+)\s*[:=\s]\s*(?P<quote>['"]?)(?P<value>.+?)(?P=quote)"""
    r"\s*(?:\s[;#].*)?$"
)
_CONFIG = "tcs-lyon1-config"
#: That option in a renewal conf.
_STORED = re.compile(r"tcs_lyon1_config = (.+)$")
#: Per cent of a lifetime.
_WARNING, _CRITICAL = 25.0, 10.0


def parser() -> argparse.ArgumentParser:
    """Return the command's parser; tests compare it with the manual and the reference."""
    shared = argparse.ArgumentParser(add_help=False)
    for name, default in _DEFAULTS.items():
        shared.add_argument(
            f"--{name}",
            metavar="DIR",
            help=f"certbot's; by default that of cli.ini, or {default}",
        )
    shared.add_argument(
        f"--{_CONFIG}",
        metavar="FILE",
        help="the department config; by default tcs-lyon1.ini in the config DIR",
    )
    whole = argparse.ArgumentParser(
        prog="certbot-tcs-lyon1",
        description="Check this machine's certificates and their renewal.",
        epilog="Exit codes of check: 0 right, 1 warning, 2 critical, 3 unknown. With --checkmk or "
        "--prometheus it is 0 whatever was found.",
    )
    verbs = whole.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    status = verbs.add_parser("status", parents=[shared], help="show a table of the certificates")
    status.add_argument("--json", action="store_true", help="print the facts as JSON")
    status.set_defaults(warning=_WARNING, critical=_CRITICAL)
    _add_check_options(
        verbs.add_parser("check", parents=[shared], help="print verdicts for a monitoring system")
    )
    test = verbs.add_parser(
        "test", parents=[shared], help="try all that an order needs, without ordering"
    )
    test.add_argument(
        "names", nargs="*", metavar="NAME", help="without one, only the department config is read"
    )
    test.add_argument("--no-dns-update", action="store_true", help="publish no TXT record")
    return whole


def _add_check_options(check: argparse.ArgumentParser) -> None:
    form = check.add_mutually_exclusive_group()
    form.add_argument(
        "--checkmk", action="store_true", help="print the lines of a Checkmk local check"
    )
    form.add_argument(
        "--prometheus", metavar="FILE", help="write FILE for node_exporter's textfile collector"
    )
    form.add_argument("--json", action="store_true", help="print facts and verdicts as JSON")
    for name, verb, percent in (
        ("warning", "warn", _WARNING),
        ("critical", "be critical", _CRITICAL),
    ):
        check.add_argument(
            f"--{name}",
            metavar="PERCENT",
            type=_percent,
            default=percent,
            help=f"{verb} when this part of a lifetime is left (default: {percent:g})",
        )


def _percent(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError("from 0 to 100")
    return number


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command, and return its exit code."""
    options = parser().parse_args(arguments)
    try:
        folders = _folders(options)
        if options.verb != "test":
            return _report(options, folders)
        dns01.check_dnspython()
        from certbot_tcs_lyon1.status import probe

        return probe.run(options.names, folders, with_record=not options.no_dns_update)
    except DnsError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 3
    except Exception:  # Python's own exit code, 1, would mean WARNING
        traceback.print_exc()
        return 1 if options.verb == "test" else 3


def _report(options: argparse.Namespace, folders: Folders) -> int:
    from certbot_tcs_lyon1.status import gather, output, verdicts

    is_check = options.verb == "check"
    limits = verdicts.Limits(options.warning, options.critical)
    judgement = verdicts.judge(gather.gather_facts(folders), limits)
    if options.json:
        output.show(output.to_json(judgement, with_verdicts=is_check))
    elif not is_check:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        output.show(output.table(judgement, shutil.get_terminal_size().columns, colour))
    elif options.prometheus:
        return _write(options.prometheus, output.prometheus(judgement))
    else:
        output.show(output.checkmk(judgement) if options.checkmk else output.nagios(judgement))
    return int(verdicts.worst(judgement.verdicts)) if is_check and not options.checkmk else 0


def _write(path: str, text: str) -> int:
    """Replace the file, which all users can read (node_exporter's), and return the exit code."""
    from certbot_tcs_lyon1 import disk

    try:
        disk.write(path, text.encode("utf-8", "backslashreplace"), mode=0o644)
    except OSError as error:
        print(f"{path}: cannot be written: {error.strerror}", file=sys.stderr)
        return 3
    return 0


# certbot's folders


def _folders(options: argparse.Namespace) -> Folders:
    """Return certbot's folders: those of the options, of certbot's cli.ini, or its defaults."""
    kept = _cli_ini()
    config_dir, work_dir, logs_dir = (
        os.path.abspath(getattr(options, name.replace("-", "_")) or kept.get(name, default))
        for name, default in _DEFAULTS.items()
    )
    config = options.tcs_lyon1_config or kept.get(_CONFIG) or _department_config(config_dir)
    return Folders(config_dir, work_dir, logs_dir, os.path.abspath(config))


def _department_config(config_dir: str) -> str:
    """Return the default path; if there is nothing, the one that all lineages have stored."""
    default = os.path.join(config_dir, "tcs-lyon1.ini")
    if os.path.lexists(default):
        return default
    stored = set()
    for path in glob.glob(os.path.join(glob.escape(config_dir), "renewal", "*.conf")):
        with contextlib.suppress(OSError):
            with open(path, encoding="utf-8", errors="replace") as file:
                stored |= {match[1] for match in filter(None, map(_STORED.match, file))}
    return stored.pop() if len(stored) == 1 else default


def _cli_ini() -> dict[str, str]:
    """Return the options in certbot's two `cli.ini`; the user's own wins."""
    home = os.environ.get("XDG_CONFIG_HOME", "~/.config")
    kept = {}
    for path in ("/etc/letsencrypt/cli.ini", os.path.join(home, "letsencrypt", "cli.ini")):
        with contextlib.suppress(OSError):
            with open(os.path.expanduser(path), encoding="utf-8", errors="replace") as file:
                for match in filter(None, map(_LINE.match, file)):
                    kept[match["name"].replace("_", "-")] = match["value"]
    return kept


if __name__ == "__main__":
    sys.exit(main())
