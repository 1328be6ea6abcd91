"""A copy of this virtual environment, with packages left out or others in their place.

Where certbot looks at what is installed (before 2.7 it checks a plugin's requirements when it
starts), a package that is missing has to be missing from the disk.
"""

import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

import certbot as certbot_package

_NOTHING_ELSE: Mapping[str, str] = MappingProxyType({})


def make(folder: Path, without: Collection[str], files: Mapping[str, str] = _NOTHING_ELSE) -> str:
    """Make the copy in `folder`; the path of its certbot.

    The packages are linked to, not copied.

    :param without: names of projects and packages as they begin in site-packages (`dnspython`,
        `dns`), or whole names of what is there
    :param files: text by path relative to site-packages, for what takes their place
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    there = Path(subprocess.check_output([str(python), "-c", query], text=True).strip())
    # Where certbot is: on Debian not where Python would install.
    for entry in Path(certbot_package.__file__).resolve().parents[1].iterdir():
        if not {_project(entry), entry.name} & set(without):
            (there / entry.name).symlink_to(entry)
    for name, text in files.items():
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text(text, encoding="utf-8")
    certbot = folder / "bin" / "certbot"
    certbot.write_text(
        f"#!{python}\nimport sys\nfrom certbot.main import main\nsys.exit(main())\n",
        encoding="utf-8",
    )
    certbot.chmod(0o755)
    return str(certbot)


def _project(entry: Path) -> str:
    """`dnspython` of `dnspython-2.0.0.dist-info`, `zope.interface` of any spelling of that."""
    return entry.name.split("-")[0].replace("_", ".")
