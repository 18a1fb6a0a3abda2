"""One script per published figure. Each prints its table, the machine it ran on and, where two systems meet, a ratio."""
