"""Plans, executors, the ledger and the store: how a run gets done, whatever happens on the way."""
