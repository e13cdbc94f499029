"""Rules: compiled strategies, called by the step at the close of each bar of their symbols.

A rule is a function of a stated signature, compiled ahead:

    @compiled(rule_signature(MyParameters))
    def my_rule(row, bar, parameters, outbox): ...

It reads the symbol's ROW, the closed BAR, and its own parameters, and proposes by `propose_entry` and `propose_exit`. The
step calls it by its address, which it finds in its parameters. So a new rule compiles in a moment, and the step not at all;
a symbol without rules costs one comparison a bar.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

from aegis.compiled import inlined
from aegis.errors import check
from aegis.market.bars import BAR
from aegis.market.parameters import fields_of
from aegis.market.signals import OUTBOX
from aegis.market.state import MAX_RULES, ROW

__all__ = ["Rule", "call_rules", "place_rules", "rule_record", "rule_signature"]

_BYTE: Final = ir.IntType(8)


def rule_signature(parameters: type) -> Any:
    """The signature of a rule whose parameters are this attrs class: numbers only, each with a default."""
    kinds = (ROW, BAR, np.dtype(fields_of(parameters)), OUTBOX)
    return numba.types.void(*(numba.from_dtype(kind) for kind in kinds))


def rule_record(parameters: Any) -> NDArray[np.void]:
    """A rule's parameters as it reads them: an array of length 1."""
    kind = type(parameters)
    values = tuple(getattr(parameters, field.name) for field in attrs.fields(kind))
    return np.array([values], np.dtype(fields_of(kind)))


@attrs.frozen(eq=False)
class Rule:
    """A compiled strategy with its parameters, on some of an analysis' symbols."""

    name: str
    kernel: Callable[..., None]
    parameters: NDArray[np.void]
    """As `rule_record` makes them; kept here, because the step has only their address."""
    symbols: Sequence[int]
    """The rows it is asked on."""


def place_rules(rules: Sequence[Rule], record: NDArray[np.void], state: NDArray[np.void]) -> None:
    """Let the step ask these rules, in their order; the first is number 1, by which its signals are known.

    Args:
        rules: they, and their parameters, must outlive the last step.
        record: the PARAMETERS.
        state: the ROW array.
    """
    check(len(rules) <= MAX_RULES, f"a step asks {MAX_RULES} rules at most")
    for index, rule in enumerate(rules):
        entry = record["rules"][0][index]
        entry["address"] = _address(rule.kernel)
        entry["parameters"] = rule.parameters.ctypes.data
        entry["number"] = index + 1
        state["rules"][list(rule.symbols)] |= 1 << index


def _address(kernel: Any) -> int:
    """Where the machine code of a kernel's one specialisation begins, in the form that C calls."""
    (compiled,) = kernel.overloads.values()
    address: int = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)
    return address


@intrinsic  # type: ignore[untyped-decorator]  # numba publishes no types
def _call(
    _context: Any, address: Any, row: Any, bar: Any, parameters: Any, outbox: Any
) -> tuple[Any, Any]:
    """Call the rule at an address; records are passed as the pointers that they are."""

    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = _BYTE.as_pointer()
        code, row, bar, parameters, outbox = args
        function = ir.FunctionType(pointer, [pointer] * 4)
        records = [builder.bitcast(each, pointer) for each in (row, bar)]
        records.append(builder.inttoptr(parameters, pointer))
        records.append(builder.bitcast(outbox, pointer))
        builder.call(builder.inttoptr(code, function.as_pointer()), records)
        return ir.Constant(pointer, None)

    return numba.types.void(address, row, bar, parameters, outbox), generate


@inlined
def call_rules(row: Any, bar: Any, parameters: Any, outbox: Any) -> None:
    """Ask each rule of the row's symbol about the bar that has just been taken into it."""
    left = row.rules
    index = 0
    while left:
        if left & 1:
            rule = parameters.rules[index]
            outbox.rule = rule.number
            _call(rule.address, row, bar, rule.parameters, outbox)
        left >>= 1
        index += 1
