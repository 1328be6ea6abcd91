"""What CAs were seen to answer, each with its source, for `front.refuse` and the like."""

from __future__ import annotations

from tests.lab.front import Problem

# newOrder at acme.sectigo.com: win-acme #1644 and #2374. Both show the detail only; the type is the
# one that RFC 8555 §6.7 has for it.
NOT_LINKED = Problem(
    "unauthorized",
    "The identifiers are not all linked to the same preauthorized Subject organization "
    "name/address",
    403,
)
# Sectigo, SCM documentation, "Troubleshooting" of the certbot connector; the type as above.
NOT_DELEGATED = Problem("unauthorized", "A requested identifier has not been delegated", 403)
# newAccount at acme.sectigo.com/v2/OV: certbot #8944.
USED_UP = Problem(
    "malformed",
    "[External Account Binding] The account is not awaiting external account binding",
)
# newAccount; the university's guide and cert-manager #7830; prefix and type as in the last.
UNKNOWN_KID = Problem(
    "malformed", "[External Account Binding] The Key Identifier was not recognized"
)
# newAccount at acme.zerossl.com, which is Sectigo's software: win-acme #2565.
BAD_MAC = Problem("malformed", "[External Account Binding] Invalid MAC on JWS request")
# newOrder at acme.zerossl.com: acme.sh #3310.
NO_KEY_ID = Problem("malformed", "A Key ID MUST be specified")
# newOrder: cert-manager #3346.
NO_KEY_ID_IN_HEADER = Problem("malformed", "No Key ID in JWS header")
# newAccount at acme.sectigo.com/v2/EV: acme.sh #5318. Without an e-mail address ZeroSSL answers so,
# too, though there is a binding: community.crypto #100.
EAB_REQUIRED = Problem(
    "externalAccountRequired",
    'The request must include a value for the "externalAccountBinding" field',
)
# RFC 8555 §6.7. acme2certifier #211 shows the type, without a detail.
NO_SUCH_ACCOUNT = Problem("accountDoesNotExist", "", 403)
# newOrder at acme.zerossl.com: acme.sh #3889.
DEACTIVATED = Problem("unauthorized", "The account has been deactivated", 401)
# The types of RFC 8555 §6.7; the CAs' own words for them aren't published.
CAA = Problem("caa", "CAA record for www.labo.univ-lyon1.test prevents issuance", 403)
REJECTED = Problem("rejectedIdentifier", "The server will not issue for this identifier")
BAD_CSR = Problem("badCSR", "The key type of the CSR is not allowed")
MALFORMED = Problem("malformed", "The CSR could not be processed")
RATE_LIMITED = Problem("rateLimited", "Too many requests", 429)
# finalize at acme.sectigo.com: lego #1183, without a detail.
INTERNAL = Problem("serverInternal", "", 500)
