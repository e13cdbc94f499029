from __future__ import annotations

import re
import textwrap
import tomllib
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from aegis.config import Config, FeedConfig, RunConfig, StrategyConfig, VenueConfig, load
from aegis.errors import Refused
from aegis.market.parameters import Parameters
from aegis.orders.limits import Limits

STRATEGY = "[[strategies]]\nclass = 'smc'\n"


def test_config_of_an_empty_file_is_the_default(tmp_path: Path) -> None:
    """Nothing has to be configured."""
    (tmp_path / "c.toml").touch()
    assert load(tmp_path / "c.toml") == Config()


def test_config_reads_every_table(tmp_path: Path) -> None:
    """Values keep their types; money becomes Decimal as it is written."""
    (tmp_path / "c.toml").write_text(
        'symbols = ["BTCUSDT"]\n[limits]\norder_notional = 12.5\ndata_age_ms_max = 300\n'
        '[run]\non_stop = "keep"\n[strategy]\ninterval_ms = 60000\nstop_atr = 2\n'
        '[venue]\nname = "custom"\nrest_url = "http://localhost:1"\n[feed]\nlossless = true\n'
    )
    config = load(tmp_path / "c.toml")
    assert config.symbols == ("BTCUSDT",)
    assert config.limits.order_notional == Decimal("12.5")
    assert (config.run.on_stop, config.strategy.stop_atr) == ("keep", 2.0)
    assert (config.venue.name, config.feed.lossless) == ("custom", True)


def test_config_reads_strategies(tmp_path: Path) -> None:
    """As many as there are tables, in their order; what a strategy may be told is its own affair."""
    (tmp_path / "c.toml").write_text(
        "[[strategies]]\nclass = 'smc'\n[[strategies]]\nclass = 'a.b:C'\nname = 'mine'\n"
        "symbols = ['BTCUSDT']\ninterval_ms = 300000\nparameters = { x = [1, { y = 2.5 }] }\n"
    )
    assert load(tmp_path / "c.toml").strategies == (
        StrategyConfig("smc"),
        StrategyConfig("a.b:C", "mine", ("BTCUSDT",), 300_000, {"x": [1, {"y": 2.5}]}),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("limits = 3", "limits: expected a table, got 3"),
        ("[limits]\nno = 3", "unknown key limits.no; expected one of: order_notional, "),
        ("no = 3", "unknown key no; expected one of: symbols, venue, "),
        ('symbols = "BTC"', "symbols: expected a list of strings, got 'BTC'"),
        ("symbols = [1]", "symbols: expected a list of strings"),
        ('[limits]\norder_notional = "x"', "limits.order_notional: expected a number, got 'x'"),
        ("[limits]\norder_notional = true", "limits.order_notional: expected a number"),
        ("[limits]\norder_notional = nan", "limits.order_notional: expected a finite number"),
        ("[limits]\norder_notional = -1", "'order_notional' must be > 0"),
        ("[limits]\ndata_age_ms_max = 1.5", "limits.data_age_ms_max: expected a whole number"),
        ("[feed]\nlossless = 1", "feed.lossless: expected true or false, got 1"),
        ('[venue]\nname = "mars"', "venue.name: expected one of sim, binance-testnet, custom"),
        ("[strategy]\npivot_bars = 0", "'pivot_bars' must be >= 1"),
        ("strategies = 3", "strategies: expected a list of tables, got 3"),
        ("[strategies]", "strategies: expected a list of tables, got {}"),
        ("strategies = [3]", "strategies[0]: expected a table, got 3"),
        (f"{STRATEGY}no = 1", "unknown key strategies[0].no; expected one of: class, name, "),
        (f"{STRATEGY}symbols = 1", "strategies[0].symbols: expected a list of strings, got 1"),
        (f"{STRATEGY}{STRATEGY}name = 1", "strategies[1].name: expected a string, got 1"),
        (f"{STRATEGY}interval_ms = 1.5", "strategies[0].interval_ms: expected a whole number"),
        (f"{STRATEGY}parameters = 7", "strategies[0].parameters: expected a table, got 7"),
        ("[[strategies]]\nname = 'a'", "strategies[0].class: is missing"),
        ("x ==", "is not TOML"),
    ],
)
def test_config_names_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    """One line with the file, the key and what was expected."""
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(Refused) as refusal:
        load(path)
    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert says in message
    assert "\n" not in message


PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("[venue]", VenueConfig),
        ("[strategy]", Parameters),
        ("[limits]", Limits),
        ("[run]", RunConfig),
        ("[feed]", FeedConfig),
    ],
)
def test_page_names_every_key_with_its_default(table: str, kind: type) -> None:
    """docs/configuration.md says what the code does; several keys of a row share one default, or have one each."""
    section = PAGE.read_text().partition(f"## `{table}`")[2].partition("\n## ")[0]
    told: dict[str, str] = {}
    for row in re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.MULTILINE):
        keys, defaults = (re.findall(r"`(.*?)`", cell) for cell in row)
        told.update(zip(keys, defaults * (len(keys) if len(defaults) == 1 else 1), strict=True))
    expected = {field.name: field.default for field in attrs.fields(kind)}
    assert set(told) == set(expected)
    written = "\n".join(f"{key} = {told[key]}" for key in told)
    assert tomllib.loads(written) == expected


def test_example_on_the_page_is_taken(tmp_path: Path) -> None:
    """As it stands there."""
    example = PAGE.read_text().partition("    symbols =")[2].partition("\n\n")[0]
    (tmp_path / "c.toml").write_text(textwrap.dedent(f"    symbols ={example}\n"))
    assert load(tmp_path / "c.toml").limits.position_notional_max == Decimal(500)
