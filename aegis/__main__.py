"""`python -m aegis`."""

from __future__ import annotations

from aegis.loading import uncollected

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    with uncollected():
        from aegis.ops.cli import app  # noqa: PLC0415  # see uncollected

    app(prog_name="aegis")


if __name__ == "__main__":
    main()
