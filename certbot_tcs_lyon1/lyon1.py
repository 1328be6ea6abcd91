"""What is specific to Lyon 1: its CA, the CA's portal, its contact address, and example names.

Another university changes this file only.
"""

#: The ACME directory URL of Sectigo for RENATER TCS.
DEFAULT_SERVER = "https://acme.sectigo.com/v2/OV"

#: Where the portal shows the Key ID and the HMAC Key of an ACME account.
PORTAL_ACCOUNTS = "Settings, Enrollment Endpoints, Accounts, Details"

#: The plugin's name, as setup.py's entry point has it.
PLUGIN = "tcs-lyon1"

#: The option with the path of the department config.
CONFIG_OPTION = "--tcs-lyon1-config"

#: The address of the RAO, the university's correspondents for TCS.
CONTACT = "certificats.tcs@univ-lyon1.fr"

#: Where the portal shows the domains that are validated and delegated.
PORTAL_DOMAINS = "Settings, Domains"

#: Where the portal creates a new ACME account.
PORTAL_NEW_ACCOUNT = "Settings, Enrollment Endpoints, Accounts"

#: The names of CAs in CAA records, for CAs whose directory does not list them: the host of a CA's
#: directory is at or below its name.
CAA_IDENTITIES = ("sectigo.com", "harica.gr", "letsencrypt.org")

#: The description in certbot's list of plugins. ASCII only: certbot fails when it lists the plugins
#: and its output can't be encoded.
DESCRIPTION = "TCS certificates of the university Claude Bernard Lyon 1, validated in its DNS"

#: Examples in messages: an address, a domain, an update server, a Kerberos principal.
EXAMPLE_EMAIL = "prenom.nom@univ-lyon1.fr"
EXAMPLE_DOMAIN = "labo.univ-lyon1.fr"
EXAMPLE_UPDATE_SERVER = "ns-maj.univ-lyon1.fr"
EXAMPLE_PRINCIPAL = "svc-acme@AD.UNIV-LYON1.FR"
