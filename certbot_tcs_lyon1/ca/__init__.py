"""The certificate authority's wing: which server, which account, and what its errors mean."""
