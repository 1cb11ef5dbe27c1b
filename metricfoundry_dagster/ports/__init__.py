"""The few Protocols that tests and deployments replace. No implementation lives here."""
