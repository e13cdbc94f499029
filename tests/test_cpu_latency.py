"""What is asked of idle cores: by a file that stands for the kernel's, and of the kernel where it listens."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from aegis.cpu_latency import request_cpu_latency
from aegis.errors import Refused

KERNELS = Path("/dev/cpu_dma_latency")


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "cpu_dma_latency"
    path.touch()
    return path


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    path = tmp_path / "current_driver"
    path.write_text("haltpoll\n")
    return path


def holders(device: Path) -> int:
    """How often this process has it open: a request lasts for as long as its file is."""
    return sum(
        entry.is_symlink() and entry.readlink() == device
        for entry in Path("/proc/self/fd").iterdir()
    )


@pytest.mark.parametrize("limit_us", [0, 3, (1 << 31) - 1])
def test_the_limit_is_given_to_the_kernel_and_held(
    device: Path, driver: Path, limit_us: int
) -> None:
    """As the 32 bits that it reads; the end of the block is the end of the request."""
    with request_cpu_latency(limit_us, device=device, driver=driver) as resting:
        assert resting == ""
        assert struct.unpack("=i", device.read_bytes()) == (limit_us,)
        assert holders(device) == 1
    assert holders(device) == 0


def test_less_than_nothing_is_not_asked_for(device: Path, driver: Path) -> None:
    """The system decides."""
    with request_cpu_latency(-1, device=device, driver=driver) as resting:
        assert resting == "not asked for"
    assert device.read_bytes() == b""


@pytest.mark.parametrize("says", ["none\n", "", None])
def test_without_a_driver_there_is_nobody_to_ask(
    device: Path, driver: Path, says: str | None
) -> None:
    """The kernel would take the request, and the cores rest as before."""
    driver.unlink() if says is None else driver.write_text(says)
    with request_cpu_latency(0, device=device, driver=driver) as resting:
        assert resting == "this system has no driver for idle cores"
    assert device.read_bytes() == b""


def test_a_device_that_cannot_be_written_to_is_told_of(tmp_path: Path, driver: Path) -> None:
    """By name: it is the machine's owner who can change that."""
    absent = tmp_path / "absent"
    with request_cpu_latency(0, device=absent, driver=driver) as resting:
        assert resting == f"{absent}: No such file or directory"


def test_a_device_that_does_not_take_the_request_is_told_of(driver: Path) -> None:
    """As one that cannot be opened, and it is not kept open."""
    full = Path("/dev/full")
    with request_cpu_latency(0, device=full, driver=driver) as resting:
        assert resting == f"{full}: No space left on device"
        assert holders(full) == 0


def test_a_limit_that_the_kernel_cannot_hold_is_refused(device: Path, driver: Path) -> None:
    """Before anything is asked."""
    with pytest.raises(Refused, match="at most"):
        request_cpu_latency(1 << 31, device=device, driver=driver).__enter__()
    assert device.read_bytes() == b""


def test_the_kernel_knows_of_it() -> None:
    """Of all requests the strictest counts: the device tells it to whoever reads."""
    with request_cpu_latency(7) as resting:
        if resting:
            pytest.skip(f"this machine's idle cores cannot be asked: {resting}")
        (strictest_us,) = struct.unpack("=i", KERNELS.read_bytes()[:4])
    assert 0 <= strictest_us <= 7
