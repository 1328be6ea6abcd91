"""The benchmark: whole `certbot certonly` processes of several plugins, in turn, on one lab.

`make bench`, or `.venv-bench/bin/python -m tests.bench --help`.

Beside that, `make bench BENCH=bad-day` and `BENCH=more` (or the name of a row of `rows.py`)
measure what is broken, many lineages, CRLs and Kerberos, each against a base of the same session.
Their runs are kept in `build/bench/runs.json`: stopped, it goes on where it was; `--anew` begins
anew. Each row has a lab of its own (`stage.py`), in a network and mount namespace (`inside.py`),
where nftables drops the packets (`broken.py`).

What makes the comparison fair:

- Nobody's plugin is installed. Each contestant's comes in by CERTBOT_PLUGIN_PATH, because certbot
  imports every plugin that is installed, and certbot-dns-rfc2136 imports dnspython when loaded.
- Everybody's account is registered (with EAB) by a first run that is not counted. Each counted
  run orders one new certificate, from folders that hold the account and nothing else, so it is
  the same ACME work for all. Two of its seconds are certbot's own: it sleeps for one before it
  asks how the challenges went, and for one before it asks for the certificate.
- The contestants run in turn, and each round begins with another one, so that whatever else the
  machine does hits all alike. Medians are compared.
- The CA looks for the records at the secondary, over UDP. Its queries, and the secondary's own
  to the primary, are not counted: the first ask for recursion, the others are signed.
"""
