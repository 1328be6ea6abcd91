"""What is Lyon 1's own: the CA of its departments, its portal, and the names users meet.

Another university changes this file and nothing else.
"""

#: The ACME directory of Sectigo for RENATER TCS; the URL is the directory itself.
DEFAULT_SERVER = "https://acme.sectigo.com/v2/OV"

#: Where the portal shows the Key ID and the HMAC Key of an ACME account.
PORTAL_ACCOUNTS = "Settings, Enrollment Endpoints, Accounts, Details"

#: The plugin's name, as setup.py's entry point has it.
PLUGIN = "tcs-lyon1"

#: The option that names the department config.
CONFIG_OPTION = "--tcs-lyon1-config"

#: Whom to write to about certificates: the RAO, the university's correspondents for TCS.
CONTACT = "certificats.tcs@univ-lyon1.fr"

#: Where the portal shows the domains that are validated and delegated.
PORTAL_DOMAINS = "Settings, Domains"

#: Where the portal makes a new ACME account.
PORTAL_NEW_ACCOUNT = "Settings, Enrollment Endpoints, Accounts"

#: The names that CAs want to see in a CAA record, for those whose directory does not list them; the
#: host of their directory lies under them.
CAA_IDENTITIES = ("sectigo.com", "harica.gr", "letsencrypt.org")

#: What certbot's list of plugins shows. In ASCII: certbot stops where it lists the plugins and the
#: output takes nothing else.
DESCRIPTION = "TCS certificates of the university Claude Bernard Lyon 1, validated in its DNS"

#: What messages show as an example: addresses, domains, the update server, a Kerberos principal.
EXAMPLE_EMAIL = "prenom.nom@univ-lyon1.fr"
EXAMPLE_DOMAIN = "labo.univ-lyon1.fr"
EXAMPLE_UPDATE_SERVER = "ns-maj.univ-lyon1.fr"
EXAMPLE_PRINCIPAL = "svc-acme@AD.UNIV-LYON1.FR"
