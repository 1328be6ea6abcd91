"""
Certificates of RENATER's TCS for the departments of Université Claude Bernard Lyon 1
=====================================================================================

The `tcs-lyon1` plugin for certbot reads **one** file, the department config, and from then on
ordinary certbot commands are enough. It fills in the ACME server and the external account binding
(EAB) of the department, and it answers the CA's DNS-01 challenges in the university's internal DNS
by RFC 2136 dynamic updates.

Three commands
--------------

Get a certificate::

    certbot certonly --configurator tcs-lyon1 -d www.labo.univ-lyon1.fr

``--configurator`` is ``--authenticator`` and ``--installer`` in one: the certificate is also
deployed, and watched for revocation.

Renew all that are due (the timer or cron job that came with certbot does it)::

    certbot renew

List the certificates::

    certbot certificates

The department config
---------------------

It is ``/etc/letsencrypt/tcs-lyon1.ini`` (``tcs-lyon1.ini`` in certbot's ``--config-dir``), and
belongs to root alone (``chmod 600``)::

    [tcs]
    email = prenom.nom@univ-lyon1.fr
    agree_tos = yes

    [department labo]
    eab_kid = KEY_ID
    eab_hmac_key = HMAC_KEY
    domains = labo.univ-lyon1.fr

    [dns]
    server = ns-maj.univ-lyon1.fr
    key_file = /etc/letsencrypt/tcs-lyon1.key

ACME URL, Key ID and HMAC Key are those of the CA's portal (Settings, Enrollment Endpoints,
Accounts, Details). A message about a faulty file lists all its faults, each with its line.

``[tcs]`` holds what all departments of the file share; each key may also be set in a
``[department …]``, for that one:

================  ==================================================================
server            ACME URL; the default is ``https://acme.sectigo.com/v2/OV``
email             address for the ACME account
agree_tos         ``yes`` agrees to the CA's terms of service
issuance_timeout  how long certbot waits for the certificate (seconds; certbot: 90)
dry_run_server    where ``--dry-run`` and ``--staging`` go, instead of Let's Encrypt
================  ==================================================================

``replace_issued_before`` and ``revocation_check`` are under `When the CA revokes`_.

``[department NAME]``:

=================  =================================================================
eab_kid            Key ID
eab_hmac_key       HMAC Key
eab_hmac_key_file  or the file, of root alone, that holds it
domains            the domains validated for the department (each with all below it)
=================  =================================================================

``[dns]`` names the server that takes dynamic updates, for all zones without a ``[dns ZONE]`` of
their own. It is needed only for names that the CA does not hold as validated already:

===================  ===============================================================
server               name or address, with ``:port`` if not 53; several are tried in
                     order
key_file             the TSIG key as ``tsig-keygen NAME`` prints it
key_name             or the key itself: its name,
key_algorithm        its algorithm (``hmac-sha256``),
key_secret           its secret
keytab               or, for Active Directory, the keytab of a Kerberos account,
principal            and its name, if it holds several: NAME@REALM
zone                 the zone, instead of looking it up
ttl                  of the records (seconds; 60)
check_servers        the servers to poll, instead of the zone's name servers
propagation_seconds  how long to wait for them at most (seconds; 120)
===================  ===============================================================

Named arguments
---------------

``--tcs-lyon1-config PATH``
    The department config. (default: tcs-lyon1.ini in certbot's configuration folder, so
    /etc/letsencrypt/tcs-lyon1.ini)

``--tcs-lyon1-department NAME``
    The [department NAME] that orders the certificate. (default: the one that it was made with, the
    only one, or the only one whose domains cover all names)

``--tcs-lyon1-propagation-seconds SECONDS``
    How long to wait at most until every name server of the zone shows the challenge's record.
    (default: propagation_seconds of the [dns] section, or 120)

Whatever is given to certbot by option (``--server``, ``--email``, ``--eab-kid``, …) wins over the
department config. No secret is ever an option: certbot stores and logs its options.

Several departments, new keys, another CA
-----------------------------------------

With several ``[department …]`` sections the one whose ``domains`` cover all names orders; a domain
covers itself and all below it. ``--tcs-lyon1-department`` chooses otherwise. Each department has
its own ACME account, known by its Key ID. A new ``eab_kid`` makes a new account at the next
renewal; another ``server`` moves each certificate of the department at its next renewal, and
``certbot renew --force-renewal`` moves all of them at once. Certificates that were made with
``--server`` stay where they are.

A certificate made without this plugin is taken over by ordering it again: ``certbot renew
--force-renewal --cert-name NAME --authenticator tcs-lyon1 --installer tcs-lyon1``; or, from certbot
2.3 on, by ``certbot reconfigure`` with the same three options.

Services
--------

With ``--installer tcs-lyon1`` the certificate is put where services want it, at first and at each
renewal. A section of the department config says where::

    [install nginx]
    certificate = www.labo.univ-lyon1.fr
    fullchain = /etc/nginx/tls/fullchain.pem
    privkey = /etc/nginx/tls/privkey.pem
    test = nginx -t
    reload = systemctl try-reload-or-restart nginx

The first time::

    certbot certonly --configurator tcs-lyon1 --domain www.labo.univ-lyon1.fr

====================  ==============================================================
certificate           certbot's name for it (``certbot certificates``)
fullchain, cert       files to write, absolute
chain, privkey        likewise
combined              likewise; key, certificate and chain in one file (HAProxy)
pkcs12                likewise; a Java keystore whose alias is the certificate's name
pkcs12_password_file  the file with the keystore's password (ASCII, one line)
owner, group, mode    root, root; 0600 with the key, else 0644
test, reload          commands, without a shell, at most 120 s; they get
                      ``TCS_LYON1_TARGET``, ``_CERTIFICATE``, ``_FULLCHAIN``, …
====================  ==============================================================

If ``test`` or ``reload`` fails, the old files are put back and certbot fails; every ``certbot
renew``, due or not, tries again, and mends what someone overwrote. If nothing differs, nothing is
written or reloaded. ``certbot install --cert-name NAME -i tcs-lyon1`` deploys what there is;
``certbot rollback -i tcs-lyon1`` deploys the previous version until the next ``renew``. Before
certbot 1.27 a first ``certonly`` ends with exit code 0 even if deploying failed; it says so.

Beside ``--standalone`` or ``--webroot``, ``-i tcs-lyon1`` fills in server and EAB for those who
answer HTTP-01.

What it does in the DNS
-----------------------

It asks the update server for the zone of each name, sends one signed UPDATE per zone that adds a
TXT record at ``_acme-challenge.NAME``, reads it back, and polls every address of every name server
of the zone until each one that answers has it. When the CA has looked, it deletes exactly the
records that it added; after a crash, the next run does. Where ``_acme-challenge.NAME`` is an alias
(CNAME), the record goes to its target: a zone for challenges alone needs the least rights. For that
zone, or for any other server, write a section ``[dns ZONE]``. The least rights that suffice, for
BIND::

    update-policy {
        grant tcs-lyon1 name _acme-challenge.www.labo.univ-lyon1.fr. TXT;
    };

When the CA revokes
-------------------

``certbot renew`` replaces and deploys a certificate that is not due, where it was ordered with
``--configurator tcs-lyon1`` (or ``--installer tcs-lyon1``):

- revoked, by the CRL of its distribution point, which is fetched at most once a day
  (``revocation_check = no`` in ``[tcs]`` switches it off); for ``certificateHold`` it only
  warns;
- issued before ``replace_issued_before`` in ``[tcs]`` or ``[department NAME]``, a date or a time
  like ``2026-07-21T14:00:00Z``: each such certificate once;
- the CA asks for it by ARI (RFC 9773), where certbot does not do that itself (before 4.1).

A key that is compromised is not used again, even with ``--reuse-key``. What fails is tried again
at the next run.

Dry runs
--------

The CA has no test environment. ``--dry-run`` goes to ``dry_run_server``, or else to Let's Encrypt's
staging server, as always with certbot: the DNS part is tested, the CA and the EAB are not. Of the
CA, only its directory is fetched.
"""

__version__ = "0.1.0"

#: The text of `certbot --help tcs-lyon1`. A constant of its own: certbot folds it into a paragraph.
HELP = (
    "Certificates of RENATER's TCS for the departments of the university Claude Bernard Lyon 1. "
    "ACME server and external account binding come from the department config, by default "
    "/etc/letsencrypt/tcs-lyon1.ini; DNS-01 challenges are answered in the DNS by signed RFC 2136 "
    "updates. With that file in place, `certbot certonly --configurator tcs-lyon1 -d NAME` gets a "
    "certificate, and `certbot renew` renews it."
)
