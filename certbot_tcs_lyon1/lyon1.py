"""What is Lyon 1's own: the CA of its departments, whom to ask, and the names users meet.

Another university changes this file and nothing else.
"""

#: The ACME directory of Sectigo for RENATER TCS; the URL is the directory itself.
DEFAULT_SERVER = "https://acme.sectigo.com/v2/OV"

#: The university's correspondents (RAO), who create departments and validate names.
CONTACT = "certificats.tcs@univ-lyon1.fr"

#: Where the portal shows the Key ID and the HMAC Key of an ACME account.
PORTAL_ACCOUNTS = "Settings, Enrollment Endpoints, Accounts, Details"

#: The plugin's name in certbot, and the department config's name in certbot's config folder.
PLUGIN = "tcs-lyon1"
CONFIG_FILE = "tcs-lyon1.ini"
CONFIG_OPTION = "--tcs-lyon1-config"
