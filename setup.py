"""Packaging of certbot-tcs-lyon1; the version stands in certbot_tcs_lyon1/__init__.py."""

import os
import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).resolve().parent
VERSION = re.search(
    r'^__version__ = "([^"]+)"$',
    (HERE / "certbot_tcs_lyon1" / "__init__.py").read_text(encoding="utf-8"),
    re.MULTILINE,
).group(1)

# The lowest versions that distributions ship, and no caps. Before 2.7 certbot checks these when it
# starts, and one that is not met stops every command on the machine. pip installs what it is told,
# and a distribution's package, as such a certbot mostly is, has them stripped: docs/packaging.rst.
# zope.interface, which only certbot before 1.18 needs of us, is left to that certbot to bring.
DNSPYTHON = "dnspython>=2.0,!=2.6.0"
REQUIRED = ["acme>=1.12", "certbot>=1.12", DNSPYTHON]
if os.environ.get("SNAP_BUILD"):  # certbot's own snap has the first two, and not the last
    REQUIRED = [DNSPYTHON]

setup(
    name="certbot-tcs-lyon1",
    version=VERSION,
    description="certbot plugin for the TCS certificates of Université Claude Bernard Lyon 1",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    author="Université Claude Bernard Lyon 1",
    author_email="certificats.tcs@univ-lyon1.fr",
    license="Apache-2.0",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Plugins",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Internet :: Name Service (DNS)",
        "Topic :: Security :: Cryptography",
        "Topic :: System :: Installation/Setup",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["certbot_tcs_lyon1", "certbot_tcs_lyon1.*"]),
    package_data={"certbot_tcs_lyon1": ["py.typed", "tcs-lyon1.ini.example"]},
    python_requires=">=3.9",
    install_requires=REQUIRED,
    extras_require={"dns": []},  # what it brought is required now
    entry_points={
        "certbot.plugins": ["tcs-lyon1 = certbot_tcs_lyon1.plugin:Plugin"],
        "console_scripts": ["certbot-tcs-lyon1 = certbot_tcs_lyon1.status.command:main"],
    },
)
