"""The outside: Binance USD-M Futures, its wire formats, its endpoints and the meaning of its answers."""
