"""The commands. Every verb takes `--json`: one JSON document on standard output, the log on standard error.

Exit codes: 0 done, 1 the engine stopped on a fault, 2 bad usage or configuration, 3 a check did not hold.

Modules that compile or load kernels are imported by the verbs that need them: `--help` answers at once, and the
exchange process never pays for numba.
"""

# ruff: noqa: PLC0415  # see above

from __future__ import annotations

import errno
import gc
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import attrs
import trio
import typer

from aegis.errors import AegisError, Broken, Refused
from aegis.loading import uncollected
from aegis.ops.stdout import STDERR, leave_streams, write_lines
from aegis.ops.words import read_seconds, read_speed, read_symbols

__all__ = ["app"]


class Exit(IntEnum):
    """The exit codes."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    CHECK = 3


app = typer.Typer(
    help="AEGIS: a trading engine for crypto futures. Without a command it trades on paper.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
journal_app = typer.Typer(help="Read what happened.", rich_markup_mode=None)
app.add_typer(journal_app, name="journal")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="A TOML file.", show_default=False)
]
ForOption = Annotated[
    str | None, typer.Option("--for", help="How long: 60s, 5m, 2h. Until Ctrl-C without it.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Of the synthetic market.")]
SymbolsOption = Annotated[
    str | None, typer.Option("--symbols", help="Separated by commas, or a number of them.")
]
StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        help="breakout, smc, or package.module:Class, in place of the configured ones.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
VenueOption = Annotated[str | None, typer.Option("--venue", help="sim, binance-testnet or custom.")]
LoadOption = Annotated[
    int, typer.Option("--load", min=0, help="Ticks a second of an even market, for measuring.")
]
PortOption = Annotated[
    int,
    typer.Option(
        "--port", min=0, max=65_535, help="Of the shipped exchange; 0 takes any that is free."
    ),
]
AwakeOption = Annotated[
    bool, typer.Option("--keep-awake", help="Keep a core from resting, as run.keep_awake does.")
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="A chattier log.")]


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Trade on paper when no command is given."""
    if context.invoked_subcommand is None:
        run()


@app.command()
def run(
    config: ConfigOption = None,
    venue: VenueOption = None,
    for_: ForOption = None,
    seed: SeedOption = 7,
    symbols: SymbolsOption = None,
    strategy: StrategyOption = None,
    port: PortOption = 0,
    load: LoadOption = 0,
    keep_awake: AwakeOption = False,
    live: Annotated[bool, typer.Option("--live", help="Trade real money.")] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Trade: on paper at the exchange that ships with the engine, unless told otherwise."""

    def go() -> dict[str, Any] | None:
        with uncollected():
            from aegis.ops.run import RunOptions

        if live:
            raise Refused("--live: this version does not trade real money; see README, Limits")
        settings = _settings(config, venue, symbols, strategy)
        if keep_awake:
            settings = attrs.evolve(settings, run=attrs.evolve(settings.run, keep_awake=True))
        options = RunOptions(settings, "paper", seed, read_seconds(for_), port=port, load=load)
        return _trade(options, as_json=as_json)

    _finish(go, as_json=as_json, verbose=verbose)


@app.command()
def replay(
    recordings: Annotated[list[Path], typer.Argument(help="Recorded frames, gzipped.")],
    speed: Annotated[str, typer.Option("--speed", help="1x, 20x, … or max.")] = "1x",
    config: ConfigOption = None,
    strategy: StrategyOption = None,
    for_: ForOption = None,
    seed: SeedOption = 7,
    port: PortOption = 0,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Serve recorded frames through the local exchange, over real sockets, and trade on them."""

    def go() -> dict[str, Any] | None:
        with uncollected():
            from aegis.ops.run import RunOptions

        read_speed(speed)
        settings = _settings(config, "sim", None, strategy)
        # A replay waits for its reader: it is about the record, not about keeping up with it.
        settings = attrs.evolve(
            settings, feed=attrs.evolve(settings.feed, lossless=True, history_bars=0)
        )
        options = RunOptions(
            settings, "replay", seed, read_seconds(for_), tuple(recordings), speed, port
        )
        return _trade(options, as_json=as_json)

    _finish(go, as_json=as_json, verbose=verbose)


@app.command()
def exchange(
    port: PortOption = 0,
    seed: SeedOption = 7,
    symbols: SymbolsOption = None,
    recording: Annotated[
        list[Path] | None, typer.Option("--recording", help="Serve this instead of a market.")
    ] = None,
    speed: Annotated[str, typer.Option("--speed", help="Of a recording: 1x … or max.")] = "1x",
    load: LoadOption = 0,
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
    as_json: JsonOption = False,  # noqa: ARG001  # what it prints is JSON in any case
) -> None:
    """Serve the simulated exchange alone, for any client written for Binance USD-M Futures."""
    with uncollected():
        from aegis.sim import MAX_SPEED, ExchangeOptions, run_exchange
        from aegis.sim.catalogue import DEFAULT_SYMBOLS

    def options() -> ExchangeOptions:
        return ExchangeOptions(
            port=port,
            seed=seed,
            symbols=read_symbols(symbols) if symbols is not None else DEFAULT_SYMBOLS,
            recordings=tuple(recording or ()),
            speed=read_speed(speed) or MAX_SPEED,
            load=load,
        )

    try:
        code = run_exchange(options(), watch_stdin=child)
    except Refused as why:
        _tell(f"refused: {why}")
        code = Exit.USAGE
    raise SystemExit(int(code))


@app.command()
def verify(
    only: Annotated[
        str | None, typer.Option("--only", help="Parts, separated by commas; all without it.")
    ] = None,
    for_: Annotated[str, typer.Option("--for", help="How long to trade under load.")] = "10s",
    keep_awake: AwakeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure what the engine promises, on this machine, line by line."""

    def go() -> dict[str, Any]:
        from aegis.ops import checks

        seconds = read_seconds(for_) or 0.0
        return checks.verify(only, seconds, keep_awake=keep_awake, as_json=as_json)

    _finish(go, as_json=as_json, show=False)


@app.command()
def doctor(
    config: ConfigOption = None,
    venue: VenueOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at this machine: what is wrong, and what to do."""

    def go() -> dict[str, Any]:
        from aegis.ops import checks

        return checks.doctor(_settings(config, venue, None, None), as_json=as_json)

    _finish(go, as_json=as_json, show=False)


@journal_app.command("verify")
def journal_verify(path: Path, as_json: JsonOption = False) -> None:
    """Check that no event of a journal was changed or inserted, nor removed but from its end.

    Events that are gone from the end show in the number and the head, which it prints.
    """

    def go() -> dict[str, Any]:
        from aegis.store.journal import verify

        found: dict[str, Any] = {"path": str(path), "events": None, "head": None}
        try:
            found["events"], found["head"] = verify(path)
        except Broken as why:
            return found | {"verified": False, "expected": str(why)}
        return found | {"verified": True}

    _finish(go, as_json=as_json)


@journal_app.command("show")
def journal_show(path: Path, as_json: JsonOption = False) -> None:
    """Print the events of a journal, one JSON object a line."""
    from aegis.store.journal import read_rows

    def go() -> dict[str, Any] | None:
        rows = [
            {"seq": row.seq, "run": row.run, "wall_ns": row.wall_ns, "kind": row.kind}
            | {"body": row.decoded()}
            for row in read_rows(path)
        ]
        if as_json:
            return {"path": str(path), "events": rows}
        write_lines(*map(json.dumps, rows))
        return None

    _finish(go, as_json=as_json)


def _settings(
    path: Path | None, venue: str | None, symbols: str | None, strategy: str | None
) -> Any:
    """The configuration, with the command line's word over the file's."""
    from aegis.config import VENUES, Config, StrategyConfig, load

    settings = load(path) if path is not None else Config()
    if venue is not None:
        chosen_venue = next((name for name in VENUES if name == venue), None)
        if chosen_venue is None:
            raise Refused(f"--venue {venue}: expected one of {', '.join(VENUES)}")
        settings = attrs.evolve(settings, venue=attrs.evolve(settings.venue, name=chosen_venue))
    if symbols is not None:
        settings = attrs.evolve(settings, symbols=read_symbols(symbols))
    if strategy is not None:
        settings = attrs.evolve(settings, strategies=(StrategyConfig(strategy),))
    return settings


def _trade(options: Any, *, as_json: bool) -> dict[str, Any] | None:
    """Run the engine on this thread, until its end."""
    from rich.console import Console

    from aegis.ops.run import run as run_engine
    from aegis.ops.screen import LiveScreen, PlainLines, Screen, Silent

    console = Console()
    screen: Screen = PlainLines()
    if as_json:
        screen = Silent()
    elif console.is_terminal:
        screen = LiveScreen(console, f"AEGIS {options.mode} on {options.config.venue.name}")
    summary = trio.run(run_engine, options, screen, restrict_keyboard_interrupt_to_checkpoints=True)
    if summary is None:
        raise _StoppedAtOnce
    return summary


class _StoppedAtOnce(Exception):  # not an error of ours: the user asked twice
    """A second signal ended the run before its summary."""


def _finish(
    go: Callable[[], dict[str, Any] | None],
    *,
    as_json: bool,
    verbose: bool = False,
    show: bool = True,
) -> NoReturn:
    """Do it, print the result unless people have seen it already, and leave with the exit code that fits."""
    from aegis.ops.log import set_up_log

    set_up_log(verbose=verbose, as_json=as_json)
    code = Exit.DONE
    try:
        # A strategy may print what it likes: where standard output holds one document, that goes beside it.
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            result = go()
        if result is not None:
            code = Exit.DONE if _holds(result) else Exit.CHECK
            if as_json or show:
                _print(result, as_json=as_json)
    except* Refused as group:
        _tell(f"refused: {_first(group)}")
        code = Exit.USAGE
    except* AegisError as group:
        _tell(f"stopped on a fault: {_first(group)}")
        code = Exit.FAULT
    except* OSError as group:
        if not _lacks_descriptors(group):
            raise
        _tell(f"stopped on a fault: {_first(group)}; ulimit -n 1024")
        code = Exit.FAULT
    except* (_StoppedAtOnce, KeyboardInterrupt):
        _tell("stopped at once")
        code = Exit.FAULT
    leave_streams()
    gc.freeze()  # there is nothing left to collect, and looking at all of it takes the interpreter a second
    raise SystemExit(int(code))


def _lacks_descriptors(group: BaseExceptionGroup[OSError]) -> bool:
    """Whether the first of them is that no file can be opened any more: the one fault of the system that has an advice."""
    cause: BaseException = group
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return isinstance(cause, OSError) and cause.errno in {errno.EMFILE, errno.ENFILE}


def _holds(result: dict[str, Any]) -> bool:
    """Whether every check that a result carries held."""
    clean = result.get("clean", {})
    kept = (result.get(check, True) for check in ("reconciled", "fed", "verified", "healthy"))
    return all(kept) and not any(clean.values())


def _first(group: BaseExceptionGroup[Any]) -> str:
    """The first cause of a group, as one line."""
    cause: BaseException = group
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return str(cause)


def _print(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        write_lines(json.dumps(result, indent=2))
        return
    shown = {
        key: json.dumps(value) if isinstance(value, dict | list) else value
        for key, value in result.items()
    }
    write_lines(*(f"{key:>14}  {value}" for key, value in shown.items()))


def _tell(line: str) -> None:
    STDERR.write(f"aegis: {line}\n")
    STDERR.flush()
