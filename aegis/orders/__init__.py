"""Pure money rules: instruments, orders, positions, limits. Decimal only; no trio, no clock, no input or output."""
