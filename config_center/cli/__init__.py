"""The command line: one file a family of verbs, all over the HTTP API."""
