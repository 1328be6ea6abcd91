"""Why a certificate is replaced before it is due: revoked, a campaign, the CA's own word (ARI)."""
