"""From raw files to clean, split, tokenised examples. Read `stage.py` first."""
