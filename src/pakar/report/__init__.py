"""What people look at: the page about the data, and the pieces that it shares with the report of a whole run."""
