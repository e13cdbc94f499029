"""`python -m aegis`."""

from __future__ import annotations

from aegis.loading import uncollected
from aegis.ops.stdout import open_missing_streams

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    open_missing_streams()
    try:
        with uncollected():
            from aegis.ops.cli import app  # noqa: PLC0415  # see uncollected
    except KeyboardInterrupt:
        raise SystemExit(1) from None  # nothing has begun

    app(prog_name="aegis")


if __name__ == "__main__":
    main()
