"""Scripts for other tools. Each runs in an environment of its own, so they import nothing of this project."""
