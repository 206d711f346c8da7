"""Tenants, keys, quotas, usage, audit, fair share and the ledger. Knows nothing about audio."""
