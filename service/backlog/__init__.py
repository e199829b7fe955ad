"""Nothing is lost: spool, ledger and the durable engine."""
