"""The RPM for EPEL 9 and 10, built on Debian (release/rpm)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.release.source import ROOT, VERSION, make_sdist, need, run

RPM = ROOT / "release" / "rpm"

# The real certbot, and then where it found the plugin.
_FIND_PLUGIN = """
import sys
from certbot.main import main
main(sys.argv[1:])
print(sys.modules["certbot_tcs_lyon1.plugin"].__file__)
"""


def test_the_rpm_says_the_version_of_the_package() -> None:
    spec = (RPM / "python-certbot-tcs-lyon1.spec").read_text(encoding="utf-8")
    assert re.findall(r"^Version: +(.+)$", spec, re.MULTILINE) == [VERSION]
    newest = re.findall(r"^\* .+ - (.+)-\d+$", spec, re.MULTILINE)[0]
    assert newest == VERSION, "%changelog"


def test_the_rpms_for_epel_9_and_10_are_clean_and_certbot_finds_the_plugin(tmp_path: Path) -> None:
    tools = {"rpmbuild": "rpm", "rpmlint": "rpmlint", "rpm2cpio": "rpm2cpio", "cpio": "cpio"}
    need(tools, ["packaging", "pip", "setuptools", "wheel"])
    folder = tmp_path / "rpms"
    sdist = make_sdist(tmp_path)
    run(str(RPM / "make-rpm"), str(sdist), str(folder), sys.executable)
    assert sdist.exists(), "rpmbuild removes sources"
    for platform, python in {"el9": "3.9", "el10": "3.12"}.items():
        name = f"python3-certbot-tcs-lyon1-{VERSION}-1.{platform}.noarch.rpm"
        _look_at(folder / name, python, tmp_path / platform)


def _look_at(rpm: Path, python: str, tree: Path) -> None:
    def query(what: str) -> set[str]:
        return set(run("rpm", "--query", "--package", what, str(rpm)).splitlines())

    assert {
        f"python(abi) = {python}",
        f"python{python}dist(acme) >= 1.12",
        f"python{python}dist(certbot) >= 1.12",
    } <= query("--requires")
    # 2.6.0 is left out, so it is a rich dependency.
    assert [line for line in query("--requires") if f"python{python}dist(dnspython) >= 2" in line]
    assert query("--recommends") == {"certbot"}
    assert any(line.startswith(f"certbot-tcs-lyon1 = {VERSION}-") for line in query("--provides"))

    site = f"/usr/lib/python{python}/site-packages"
    files = query("--list")
    assert {
        f"{site}/certbot_tcs_lyon1/plugin.py",
        f"{site}/certbot_tcs_lyon1-{VERSION}.dist-info/entry_points.txt",
        "/usr/share/licenses/python3-certbot-tcs-lyon1/LICENSE.txt",
        "/usr/share/doc/python3-certbot-tcs-lyon1/README.rst",
        "/usr/share/doc/python3-certbot-tcs-lyon1/examples/tcs-lyon1.ini",
    } <= files
    assert not [file for file in files if "tests" in file or file.startswith("/etc")]

    tree.mkdir()
    run("sh", "-c", f'rpm2cpio "{rpm}" | cpio --extract --make-directories --quiet', folder=tree)
    unpacked = f"{tree}{site}"
    folders = [f"--{name}-dir={tree}/{name}" for name in ("config", "work", "logs")]
    found = run(
        *(sys.executable, "-c", _FIND_PLUGIN, "plugins", *folders),
        folder=tree,
        env={"PYTHONPATH": unpacked},
    )
    assert "* tcs-lyon1" in found
    assert found.endswith(f"{unpacked}/certbot_tcs_lyon1/plugin.py\n")
