"""The ledger's decisions, carried out."""
