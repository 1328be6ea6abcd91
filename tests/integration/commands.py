"""What most of these tests order, and how."""

NAME = "www.labo.univ-lyon1.test"
CHALLENGE = f"_acme-challenge.{NAME}"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
CERTONLY = ("certonly", "-n", "--authenticator", "tcs-lyon1", "-d", NAME)
