"""The page on strategies does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegis.market.analysis import Analysis
from aegis.market.parameters import Parameters
from aegis.market.rules import Rule, rule_record

PAGE = Path(__file__).parents[2] / "docs" / "strategies.md"
BLOCK = re.compile(r"```python\n(.*?)```\n(?:```text\n(.*?)```\n)?", re.DOTALL)


def test_strategies_page_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Every Python block of the page runs, in order, and prints the text below it; its compiled form is its Python form."""
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) == 5
    page: dict[str, Any] = {"__name__": "page"}
    for code, expected in blocks:
        exec(compile(code, str(PAGE), "exec"), page)  # noqa: S102  # our own page
        assert capsys.readouterr().out == expected
    bars = page["walk"]
    rule = Rule("dip", page["FastDip"].rule, rule_record(page["DipParameters"]()), [0])
    analysis = Analysis(1, Parameters(), [rule])
    signals = analysis.take_bars(np.zeros(len(bars), "u2"), bars)
    wanted = [
        (bars["start_ns"][n], p.stop) for _, n, p in page["whole"] if p.side and p.can_be_guarded
    ]
    assert list(zip(signals["bar_ns"], signals["stop"], strict=True)) == wanted
    assert len(wanted) > 100
