"""The request that idle cores be quick to come back: Linux's own answer to what a rest costs.

A core without work goes to rest, and has to be woken: by an interrupt, and on a guest by its host. Who holds this request has the
idle cores look for work instead, so that a thread on another core gives them some by writing a word. Measured on a shared
virtual machine: 10 us from one thread to another, and not 60; and the disk's interrupt is heard sooner as well.

It is for all cores of the machine, and costs power, and what their hardware shares with others (turbo, SMT). The kernel takes it
back when its file is closed, by whatever death.

Source: https://docs.kernel.org/power/pm_qos_interface.html
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from aegis.errors import Refused

__all__ = ["LONGEST_US", "request_cpu_latency"]

_DEVICE: Final = Path("/dev/cpu_dma_latency")
_DRIVER: Final = Path("/sys/devices/system/cpu/cpuidle/current_driver")
LONGEST_US: Final = (1 << 31) - 1
_VALUE: Final = struct.Struct("=i")


@contextmanager
def request_cpu_latency(
    limit_us: int, *, device: Path = _DEVICE, driver: Path = _DRIVER
) -> Iterator[str]:
    """Ask that no idle core take longer than this to be at work; give why that is not so, nothing where it is.

    The device is root's unless the machine's owner says otherwise. Without a driver that chooses how cores rest, as on many
    guests, the kernel takes the request and nothing changes.

    Args:
        limit_us: 0 has them look for work all the time; less than 0 asks for nothing.
        device: where the kernel takes the request.
        driver: where it names what follows it.

    Raises:
        Refused: the kernel has no number so large.
    """
    if limit_us > LONGEST_US:
        raise Refused(f"cpu_latency_us is at most {LONGEST_US}")
    if limit_us < 0:
        yield "not asked for"
        return
    if not _names_a_driver(driver):
        yield "this system has no driver for idle cores"
        return
    try:
        request = _give(device, limit_us)
    except OSError as why:
        yield f"{device}: {why.strerror}"
        return
    try:
        yield ""
    finally:
        os.close(request)


def _give(device: Path, limit_us: int) -> int:
    """The descriptor that holds the request, as long as it is open."""
    with ExitStack() as undo:
        request = os.open(device, os.O_WRONLY)
        undo.callback(os.close, request)
        os.write(request, _VALUE.pack(limit_us))
        undo.pop_all()
    return request


def _names_a_driver(driver: Path) -> bool:
    try:
        return driver.read_text(encoding="ascii").strip() not in {"", "none"}
    except OSError:
        return False
