"""What is replaced before it is due: a CA of the tests' own, its CRLs served by nginx."""
