"""From token shards to a tuned model. Read `stage.py` first."""
