"""Pure numbers: records, bars, indicators, structure, strategies. No trio, no clock, no input or output."""
