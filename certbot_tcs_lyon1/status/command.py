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
_KEPT = re.compile(r"tcs_lyon1_config = (.+)$")


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
    for name, verb, percent in (("warning", "warn", 25.0), ("critical", "be critical", 10.0)):
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
        return _run(options)
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 3
    except Exception:  # Python's own exit code, 1, would mean WARNING
        traceback.print_exc()
        return 1 if options.verb == "test" else 3


def _run(options: argparse.Namespace) -> int:
    folders = _folders(options)
    if options.verb == "test":
        from certbot_tcs_lyon1.status import probe

        return probe.run(options.names, folders, with_record=not options.no_dns_update)
    return _report(options, folders)


def _report(options: argparse.Namespace, folders: Folders) -> int:
    from certbot_tcs_lyon1.status import gather, output, verdicts

    facts = gather.gather_facts(folders)
    limits = verdicts.Limits()
    if options.verb == "check":
        limits = verdicts.Limits(options.warning, options.critical)
    found = verdicts.judge(facts, limits)
    if options.verb == "status":
        if options.json:
            output.show(output.to_json(facts, None))
        else:
            width = shutil.get_terminal_size().columns
            colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
            output.show(output.table(facts, found, width, colour))
        return 0
    if options.json:
        output.show(output.to_json(facts, found))
    elif options.checkmk:
        output.show(output.checkmk(facts, found, limits))
        return 0
    elif options.prometheus:
        return _write(options.prometheus, output.prometheus(facts, found))
    else:
        output.show(output.nagios(facts, found, limits))
    return int(verdicts.worst(found))


def _write(path: str, text: str) -> int:
    """Write the file under another name, readable by all users (node_exporter's), and rename it.

    :returns: the exit code
    """
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


# certbot's folders


def _folders(options: argparse.Namespace) -> Folders:
    """Return certbot's folders: those of the options, of certbot's cli.ini, or its defaults."""
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
    """Return the department config that all lineages have stored; `otherwise` if it is not one."""
    pattern = os.path.join(glob.escape(config_dir), "renewal", "*.conf")
    named = set()
    for path in glob.glob(pattern):
        with contextlib.suppress(OSError):
            with open(path, encoding="utf-8", errors="replace") as file:
                named |= {match[1] for match in filter(None, map(_KEPT.match, file))}
    return named.pop() if len(named) == 1 else otherwise


def _cli_ini() -> dict[str, str]:
    """Return the options in certbot's two `cli.ini`; the user's own wins."""
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
