from __future__ import annotations

import re
import textwrap
import tomllib
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from aegis.config import Config, FeedConfig, RunConfig, StrategyConfig, VenueConfig, load
from aegis.cpu_latency import LONGEST_US
from aegis.errors import Refused
from aegis.market.parameters import MAX_INTERVAL_MS, Parameters
from aegis.orders.limits import Limits
from aegis.shm.layout import CAPACITY_MAX
from aegis.venue.binance_streams import depth_streams, tick_streams
from aegis.venue.klines import KLINES_MAX
from aegis.venue.shards import STREAMS_PER_SOCKET_MAX, plan_shards

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
        ("symbols = ['btc', 'BTC']", ": 'symbols' must be different names: 'BTC' is there twice"),
        (f"{STRATEGY}symbols = 1", "strategies[0].symbols: expected a list of strings, got 1"),
        (f"{STRATEGY}{STRATEGY}name = 1", "strategies[1].name: expected a string, got 1"),
        (f"{STRATEGY}interval_ms = 1.5", "strategies[0].interval_ms: expected a whole number"),
        (f"{STRATEGY}parameters = 7", "strategies[0].parameters: expected a table, got 7"),
        ("[[strategies]]\nname = 'a'", "strategies[0].class: is missing"),
        ("x ==", "is not TOML"),
        (f"x = {'9' * 5000}", "is not TOML"),
        ("symbols = []", ": 'symbols' must be 1 to 4096 names: 0"),
        ("symbols = ['']", ": 'symbols' must be names such as BTCUSDT: ''"),
        ("symbols = ['BTC,ETH']", ": 'symbols' must be names such as BTCUSDT: 'BTC,ETH'"),
        ("symbols = ['A', 'B', 'A']", ": 'symbols' must be different names: 'A' is there twice"),
        ("[strategy]\nbar_kind = 9", "strategy.bar_kind: expected one of 0, 1, 2, 3, got 9"),
        ("[strategy]\nbar_kind = true", "strategy.bar_kind: expected one of 0, 1, 2, 3, got True"),
        (
            f"{STRATEGY}interval_ms = {10**23}",
            "strategies[0]: 'interval_ms' must be <= 31536000000",
        ),
        (f"{STRATEGY}interval_ms = -60000", "strategies[0]: 'interval_ms' must be >= 0: -60000"),
        ("[feed]\nring_capacity = 1000", "'ring_capacity' must be a power of two from 64 to 16777"),
        ("[feed]\njump_sigmas = nan", "feed: 'jump_sigmas' must be >= 0.0: nan"),
        ("[strategy]\nstop_atr = nan", "strategy: 'stop_atr' must be > 0.0: nan"),
        ("[limits]\norder_notional = '1e999999'", "limits: 'order_notional' must be <= 1"),
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


BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "venue.order_timeout_ms": (1, 60_000),
    "feed.ring_capacity": (64, CAPACITY_MAX),
    "feed.silence_ms": (0, 86_400_000),
    "feed.conflate_ms": (0, 86_400_000),
    "feed.history_bars": (0, KLINES_MAX - 1),
    "feed.streams_per_socket": (2, STREAMS_PER_SOCKET_MAX),
    "feed.socket_lifetime_s": (1, 86_400),
    "feed.mark_silence_ms": (0, 86_400_000),
    "feed.quote_silence_ms": (0, 86_400_000),
    "feed.trade_silence_ms": (0, 86_400_000),
    "feed.future_ms": (0, 86_400_000),
    "feed.jump_sigmas": (0.0, 1e6),
    "run.cpu_latency_us": (None, LONGEST_US),
    "run.signal_ttl_ms": (1, 3_600_000),
    "run.stop_timeout_ms": (0, 86_400_000),
    "limits.order_notional": (None, 1e15),
    "limits.order_notional_max": (None, 1e15),
    "limits.order_quantity_max": (None, 1e15),
    "limits.position_notional_max": (None, 1e15),
    "limits.gross_notional_max": (None, 1e15),
    "limits.data_age_ms_max": (1, 3_600_000),
    "strategy.interval_ms": (100, MAX_INTERVAL_MS),
    "strategy.bar_kind": (0, 3),
    "strategy.pivot_bars": (1, 31),
    "strategy.atr_period": (1, 1_000_000),
    "strategy.stop_atr": (None, 1000.0),
    "strategy.bar_size": (None, 1e15),
    "strategy.session_ms": (1000, MAX_INTERVAL_MS),
    "strategy.rsi_period": (2, 1_000_000),
    "strategy.band_period": (2, 63),
    "strategy.ema_period": (2, 1_000_000),
    "strategy.macd_fast": (2, 25),
    "strategy.macd_slow": (13, 1_000_000),
    "strategy.macd_signal": (1, 1_000_000),
    "strategy.adx_period": (2, 1_000_000),
    "strategy.stochastic_period": (1, 64),
    "strategy.volatility_period": (2, 63),
    "strategy.pool_atr": (None, 1000.0),
    "strategy.kept": (1, 64),
    "strategy.feature_bars": (1, 1_000_000),
}
"""Of each number that can be set: the least and the most; None where the test below has other words for it."""


def test_every_number_has_bounds() -> None:
    """There is no setting that is a number and takes any."""
    numbers = {
        f"{table}.{key}"
        for table in ("venue", "feed", "run", "limits", "strategy")
        for key, value in attrs.asdict(getattr(Config(), table)).items()
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    }
    assert numbers == set(BOUNDS)


def beyond(least: float | None, most: float | None, key: str) -> list[object]:
    """Values on either side of the bounds."""
    above: list[object] = [10**23, "inf" if isinstance(most, float) else 9 * 10**18]
    if least is not None:
        return [*above, least - 1]
    return above if key == "cpu_latency_us" else [*above, 0, -1]  # less than 0 asks for nothing


@pytest.mark.parametrize("name", BOUNDS)
def test_number_beyond_its_bounds_is_refused(tmp_path: Path, name: str) -> None:
    """The least and the most are taken; what is beyond them is refused with its name, before anything starts."""
    (table, _, key), (least, most) = name.partition("."), BOUNDS[name]
    path = tmp_path / "c.toml"
    for senseless in beyond(least, most, key):
        path.write_text(f"[{table}]\n{key} = {senseless}\n")
        with pytest.raises(Refused, match=key) as refusal:
            load(path)
        assert str(refusal.value).startswith(f"{path}: {table}")
    for value in (each for each in (least, most) if each is not None):
        path.write_text(f"[{table}]\n{key} = {value}\n")
        assert getattr(getattr(load(path), table), key) == value


def test_smallest_socket_holds_a_symbol() -> None:
    """With as few streams a socket as may be set, the worker finds a place for each, order books included."""
    least = int(BOUNDS["feed.streams_per_socket"][0] or 0)
    symbols = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    streams = tick_streams(symbols, "aggTrade") + depth_streams(symbols, "100ms")
    assert {len(shard.streams) for shard in plan_shards(streams, least)} == {2}
    with pytest.raises(Refused, match="do not fit"):
        plan_shards(streams, least - 1)


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


@pytest.mark.parametrize("name", ["BTCUSDT_250328", "1000PEPEUSDT", "币安人生USDT", "X-1"])
def test_symbols_are_called_as_exchanges_and_recordings_call_them(name: str) -> None:
    """Quarterly contracts, thousands of a coin, other scripts than ours."""
    assert Config(symbols=(name,)).symbols == (name,)
