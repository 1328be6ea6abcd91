"""
Whether this machine's certificates are right, and will stay so
===============================================================

`certbot-tcs-lyon1` looks, for a person and for a monitoring. It doesn't run certbot, takes none
of its locks and orders nothing.

Commands
--------

``certbot-tcs-lyon1 status``
    a table for a person

``certbot-tcs-lyon1 check``
    the same, judged for a monitoring

``certbot-tcs-lyon1 test NAME...``
    all that an order needs, but the order

Options of each command
-----------------------

``--config-dir DIR``
    certbot's, as in cli.ini; else /etc/letsencrypt

``--work-dir DIR``
    certbot's, as in cli.ini; else /var/lib/letsencrypt

``--logs-dir DIR``
    certbot's, as in cli.ini; else /var/log/letsencrypt

``--tcs-lyon1-config FILE``
    the department config; else tcs-lyon1.ini in DIR

Options of status
-----------------

``--json``
    the same facts as JSON

Options of check
----------------

Without one it prints what Nagios and Icinga read: one line with performance data, then the details.

``--checkmk``
    lines of a Checkmk local check

``--prometheus FILE``
    write FILE for node_exporter

``--json``
    facts and verdicts as JSON

``--warning PERCENT``
    of a lifetime that is left, 25 without it

``--critical PERCENT``
    of a lifetime that is left, 10 without it

Critical are: so little that is left of a lifetime, a revocation by the CRL that was kept, a
service (``serves`` in ``[install NAME]``) that gives another certificate than the live version,
or none, a department config that can't be used, an ACME account that is gone. Warnings are: a
renewal that failed, a deployed file that is not the live version, a timer that is off, no
``certbot renew`` for two days, a key file of ``[dns]`` that is not there, a CRL not seen for
three days, a certificate that has lost clientAuth. What this user may not read is unknown.

Options of test
---------------

``--no-dns-update``
    put no TXT record

For each name a TXT record of a random value is put at the challenge's name, seen on every name
server, and withdrawn. CAA and DNSSEC are looked at as the system's resolver sees them. Without
a name the department config alone is read.

Exit codes
----------

``check`` ends with 0 for right, 1 for a warning, 2 for critical, 3 for unknown; with
``--checkmk`` always with 0. ``test`` ends with 0, or with 1 if anything is wrong.

JSON
----

``schema`` is 1; a key that is new does not change it, one that goes or means another thing
does. Times are seconds of the epoch. ``lineages`` are the certificates, each with ``name``,
``names``, ``department``, ``server``, ``issuer``, ``serial``, ``issued``, ``ends``, ``renews``,
``account``, ``deployed``, ``served``, ``failure`` (``when`` and ``cause``, or null) and
``fault`` (why it can't be read, or ""). Beside them are ``departments``, ``dns``, ``timer``,
``last_renew``, ``config_fault`` and ``unreadable``; with ``check``, ``state`` and ``verdicts``
(``state``, ``about``, ``text``).
"""

# It runs every few minutes on machines with a thousand certificates, so neither certbot's
# modules nor cryptography, dnspython or requests are loaded where they aren't needed.
