"""What a generation draws: energy counters of the hardware where it has them, else an estimate.

A GPU is read by NVML: the counter of all energy since the driver was loaded, or, on one that has
none, its power, sampled and integrated while a generation runs. Processor packages are read by RAPL
(`/sys/class/powercap`, Linux kernel documentation, *Power Capping Framework*), where the user may.
A counter knows nothing of processes: what else runs at the same time is measured too. Without any
of them, seconds times the watts that the machine is said to draw are an estimate; without those the
energy is unknown, which is not zero.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from .request import EnergySource, Usage

if TYPE_CHECKING:
    from .turn import Turn

POWERCAP = Path("/sys/class/powercap")
SAMPLE_SECONDS = 0.05


class Counter(Protocol):
    """Counts the joules of one part of the machine between `start` and `stop`."""

    def start(self) -> None: ...

    def stop(self) -> float:
        """The joules since `start`. Raises `OSError` where the part is not to be read any more."""
        ...


@dataclass(frozen=True)
class Energy:
    """`joules` are `None` where they are unknown."""

    joules: float | None
    source: EnergySource


class EnergyMeter:
    """Measures what is drawn between `start` and `stop`."""

    def __init__(self, counters: Sequence[Counter] = (), load_watts: float | None = None) -> None:
        self._counters = counters
        self._load_watts = load_watts
        self._began = 0.0
        self._broken = False

    def start(self) -> None:
        self._began = time.perf_counter()
        self._broken = False
        for counter in self._counters:
            try:
                counter.start()
            except OSError:
                self._broken = True

    def stop(self) -> Energy:
        """What was drawn since `start`."""
        seconds = time.perf_counter() - self._began
        joules = 0.0
        for counter in self._counters:
            try:
                joules += counter.stop()
            except OSError:
                self._broken = True
        if self._counters and not self._broken:
            return Energy(joules, "measured")
        if self._load_watts is not None:
            return Energy(self._load_watts * seconds, "estimated")
        return Energy(None, "unknown")


def meter_for(
    device: torch.device, load_watts: float | None = None, powercap: Path = POWERCAP
) -> EnergyMeter:
    """The meter of a device and, where it may be read, of the processor that feeds it."""
    counters: list[Counter] = list(packages(powercap))
    if device.type != "cpu":
        gpu = nvml_counter(device) if device.type == "cuda" else None
        # Without the device's own, what the processor draws would pass for all of it.
        counters = [] if gpu is None else [gpu, *counters]
    return EnergyMeter(counters, load_watts)


class Shares:
    """Shares what is drawn among turns that are written side by side, by the seconds that each was
    charged meanwhile."""

    def __init__(self, meter: EnergyMeter) -> None:
        self._meter = meter
        self._turns: dict[Turn, _Share] = {}

    def begin(self) -> None:
        """Measure from now on, if nothing is written yet."""
        if not self._turns:
            self._meter.start()

    def join(self, turn: Turn) -> None:
        """Count this turn's seconds too, from its beginning."""
        self._turns[turn] = _Share(0.0)

    def leave(self, turn: Turn) -> Usage:
        """A turn's usage, with what it drew; it is counted no further."""
        self._share()
        share = self._turns.pop(turn)
        if not self._turns:
            self._meter.stop()
        return replace(turn.usage, joules=share.energy.joules, energy=share.energy.source)

    def _share(self) -> None:
        drawn = self._meter.stop()
        self._meter.start()
        fresh = [turn.seconds - share.counted for turn, share in self._turns.items()]
        whole = sum(fresh)
        for turn, seconds in zip(list(self._turns), fresh, strict=True):
            part = seconds / whole if whole else 0.0
            self._turns[turn] = self._turns[turn].more(turn.seconds, drawn, part)


@dataclass(frozen=True)
class _Share:
    """What a turn drew in the seconds that were `counted`: nothing yet, or some."""

    counted: float
    energy: Energy = Energy(0.0, "unknown")

    def more(self, seconds: float, drawn: Energy, part: float) -> _Share:
        if drawn.joules is None or self.energy.joules is None:
            return _Share(seconds, Energy(None, "unknown"))
        return _Share(seconds, Energy(self.energy.joules + drawn.joules * part, drawn.source))


class Package:
    """The RAPL counter of one processor package: microjoules, which begin anew at a range. A
    generation that takes longer than two rounds of it (minutes at full load) reads too low."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self._range = int((folder / "max_energy_range_uj").read_text())
        self._from = self._now()

    def _now(self) -> int:
        return int(self._file.read_text())

    def start(self) -> None:
        self._from = self._now()

    def stop(self) -> float:
        now = self._now()
        wrapped = self._range if now < self._from else 0
        return (now - self._from + wrapped) / 1e6


def packages(powercap: Path) -> list[Package]:
    """The packages that may be read: zones of the first level, but not `psys`, which counts the
    whole platform and them again."""
    found = []
    with suppress(OSError):
        for folder in sorted(powercap.glob("intel-rapl:*")):
            if folder.name.count(":") != 1:
                continue
            with suppress(OSError, ValueError):
                if (folder / "name").read_text().strip().startswith("package"):
                    found.append(Package(folder))
    return found


class GpuCounter:
    """NVML's count of all energy, in millijoules. `read` asks for it."""

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read
        self._from = read()

    def start(self) -> None:
        self._from = self._read()

    def stop(self) -> float:
        return (self._read() - self._from) / 1e3


class GpuSampler:
    """A GPU's power, in milliwatts, sampled on a thread and integrated by trapezoids."""

    def __init__(self, read: Callable[[], float], every: float = SAMPLE_SECONDS) -> None:
        self._read = read
        self._every = every
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._joules = 0.0
        self._failure: OSError | None = None

    def start(self) -> None:
        self._joules, self._failure = 0.0, None
        self._over.clear()
        first = (time.perf_counter(), self._read())
        self._thread = threading.Thread(target=self._follow, args=(first,), daemon=True)
        self._thread.start()

    def _follow(self, last: tuple[float, float]) -> None:
        over = False
        while not over:
            over = self._over.wait(self._every)
            try:
                now = (time.perf_counter(), self._read())
            except OSError as error:
                self._failure = error
                return
            self._joules += (now[0] - last[0]) * (now[1] + last[1]) / 2e3
            last = now

    def stop(self) -> float:
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._thread = None
        if self._failure is not None:
            raise self._failure
        return self._joules


def nvml_counter(device: torch.device) -> Counter | None:
    """The counter of a CUDA device, `None` where NVML (`pip install 'gesso[gpu]'`) does not know
    it."""
    try:
        import pynvml as nvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None

    def asking(question: Callable[[Any], float], handle: Any) -> Callable[[], float]:
        def ask() -> float:
            try:
                return question(handle)
            except nvml.NVMLError as error:
                raise OSError(str(error)) from None

        return ask

    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(_uuid(device))
    except nvml.NVMLError:
        return None
    with suppress(OSError):
        return GpuCounter(asking(nvml.nvmlDeviceGetTotalEnergyConsumption, handle))
    power = asking(nvml.nvmlDeviceGetPowerUsage, handle)
    try:
        power()
    except OSError:
        return None
    return GpuSampler(power)


def _uuid(device: torch.device) -> str:
    """NVML numbers all devices of the machine, torch those that this process sees."""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"
