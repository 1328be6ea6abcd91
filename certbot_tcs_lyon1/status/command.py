"""The command `certbot-tcs-lyon1`: its subcommands and their options."""

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

from certbot_tcs_lyon1.status.facts import Folders

#: certbot's defaults, the same in every version in service.
_DEFAULTS = {
    "config-dir": "/etc/letsencrypt",
    "work-dir": "/var/lib/letsencrypt",
    "logs-dir": "/var/log/letsencrypt",
}
#: As certbot's ConfigArgParse takes it.
_LINE = re.compile(
    r"""\s*-*(?P<name>[^:=;\#\s[]+)\s*[:=\s]\s*(?P<quote>['"]?)(?P<value>.+?)(?P=quote)"""
    r"\s*(?:\s[;#].*)?$"
)
_CONFIG = "tcs-lyon1-config"
#: How certbot keeps that option in a renewal conf.
_KEPT = re.compile(r"tcs_lyon1_config = (.+)$")


def parser() -> argparse.ArgumentParser:
    """All that the command takes; the manual page and the reference are held against it."""
    shared = argparse.ArgumentParser(add_help=False)
    for name, default in _DEFAULTS.items():
        shared.add_argument(
            f"--{name}", metavar="DIR", help=f"certbot's, as in cli.ini; else {default}"
        )
    shared.add_argument(
        f"--{_CONFIG}", metavar="FILE", help="the department config; else tcs-lyon1.ini in DIR"
    )
    whole = argparse.ArgumentParser(
        prog="certbot-tcs-lyon1",
        description="Look whether this machine's certificates are right, and will stay so.",
        epilog="Exit codes of check: 0 right, 1 warning, 2 critical, 3 unknown. With --checkmk or "
        "--prometheus it is 0 whatever was found.",
    )
    verbs = whole.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    status = verbs.add_parser("status", parents=[shared], help="a table for a person")
    status.add_argument("--json", action="store_true", help="the same facts as JSON")
    check = verbs.add_parser("check", parents=[shared], help="the same, judged for a monitoring")
    form = check.add_mutually_exclusive_group()
    form.add_argument("--checkmk", action="store_true", help="lines of a Checkmk local check")
    form.add_argument("--prometheus", metavar="FILE", help="write FILE for node_exporter")
    form.add_argument("--json", action="store_true", help="facts and verdicts as JSON")
    for name, percent in (("warning", 25.0), ("critical", 10.0)):
        check.add_argument(
            f"--{name}",
            metavar="PERCENT",
            type=_percent,
            default=percent,
            help=f"of a lifetime that is left, {percent:g} without it",
        )
    test = verbs.add_parser("test", parents=[shared], help="all that an order needs, but the order")
    test.add_argument("names", nargs="*", metavar="NAME", help="none: only the file is read")
    test.add_argument("--no-dns-update", action="store_true", help="put no TXT record")
    return whole


def _percent(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError("from 0 to 100")
    return number


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command; the exit code."""
    options = parser().parse_args(arguments)
    try:
        return _run(options)
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 3
    except Exception:  # after which Python's own exit code, 1, would be a WARNING
        traceback.print_exc()
        return 1 if options.verb == "test" else 3


def _run(options: argparse.Namespace) -> int:
    places = _places(options)
    if options.verb == "test":
        from certbot_tcs_lyon1.status import probe

        return probe.run(options.names, places, with_record=not options.no_dns_update)
    return _report(options, places)


def _report(options: argparse.Namespace, places: Folders) -> int:
    from certbot_tcs_lyon1.status import forms, looking, verdicts

    facts = looking.look(places)
    limits = verdicts.Limits()
    if options.verb == "check":
        limits = verdicts.Limits(options.warning, options.critical)
    found = verdicts.judge(facts, limits)
    if options.verb == "status":
        if options.json:
            _print(forms.to_json(facts, None))
        else:
            width = shutil.get_terminal_size().columns
            colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
            _print(forms.table(facts, found, width, colour))
        return 0
    if options.json:
        _print(forms.to_json(facts, found))
    elif options.checkmk:
        _print(forms.checkmk(facts, found, limits))
        return 0
    elif options.prometheus:
        return _write(options.prometheus, forms.prometheus(facts, found))
    else:
        _print(forms.nagios(facts, found, limits))
    return int(verdicts.worst(found))


def _write(path: str, text: str) -> int:
    """Write the file aside, readable by all, and rename it; node_exporter isn't root."""
    aside = f"{path}.{os.getpid()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(
            os.open(aside, flags, 0o644), "w", encoding="utf-8", errors="backslashreplace"
        ) as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
        os.rename(aside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        print(f"{path}: cannot be written: {error.strerror}", file=sys.stderr)
        return 3
    return 0


def _print(text: str) -> None:
    """Print it, with escapes for what the output's encoding has not."""
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


# certbot's folders


def _places(options: argparse.Namespace) -> Folders:
    """The folders: of the command line, else of certbot's cli.ini, else its defaults."""
    kept = _cli_ini()
    found = {}
    for name, default in _DEFAULTS.items():
        given = getattr(options, name.replace("-", "_"))
        found[name] = os.path.abspath(given or kept.get(name, default))
    config = options.tcs_lyon1_config or kept.get(_CONFIG)
    if config is None:
        config = os.path.join(found["config-dir"], "tcs-lyon1.ini")
        config = config if os.path.lexists(config) else _of_lineages(found["config-dir"], config)
    config_dir, work_dir, logs_dir = found.values()
    return Folders(config_dir, work_dir, logs_dir, os.path.abspath(config))


def _of_lineages(config_dir: str, otherwise: str) -> str:
    """The department config that all lineages were ordered with, which certbot keeps."""
    pattern = os.path.join(glob.escape(config_dir), "renewal", "*.conf")
    named = set()
    for path in glob.glob(pattern):
        with contextlib.suppress(OSError):
            with open(path, encoding="utf-8", errors="replace") as file:
                named |= {match[1] for match in filter(None, map(_KEPT.match, file))}
    return named.pop() if len(named) == 1 else otherwise


def _cli_ini() -> dict[str, str]:
    """What certbot's `cli.ini` says, at its two places, of which the latter wins."""
    home = os.environ.get("XDG_CONFIG_HOME", "~/.config")
    kept = {}
    for path in ("/etc/letsencrypt/cli.ini", os.path.join(home, "letsencrypt", "cli.ini")):
        try:
            with open(os.path.expanduser(path), encoding="utf-8", errors="replace") as file:
                for match in filter(None, map(_LINE.match, file)):
                    kept[match["name"].replace("_", "-")] = match["value"]
        except OSError:
            continue
    return kept


if __name__ == "__main__":
    sys.exit(main())
