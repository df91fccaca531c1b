"""Networks for exchange rates, in a package that every process that loads them can import."""
