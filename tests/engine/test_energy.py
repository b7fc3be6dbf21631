"""What a generation draws: right where there is a counter, and never a silent zero where not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from gesso.engine import Message, Request, Result, load_engine
from gesso.engine.energy import (
    Energy,
    EnergyMeter,
    GpuCounter,
    GpuSampler,
    meter_for,
    nvml_counter,
    packages,
)

CPU = torch.device("cpu")
REQUEST = Request([Message("user", "Hello")], seed=1, max_tokens=8)


@pytest.fixture
def powercap(tmp_path: Path) -> Callable[..., Path]:
    """A folder as the kernel shows it."""

    def zone(name: str, kind: str, microjoules: int, most: int = 262_143_328_850) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{kind}\n")
        (folder / "energy_uj").write_text(f"{microjoules}\n")
        (folder / "max_energy_range_uj").write_text(f"{most}\n")
        return folder

    return zone


def add(folder: Path, joules: float) -> None:
    file = folder / "energy_uj"
    most = int((folder / "max_energy_range_uj").read_text())
    file.write_text(f"{(int(file.read_text()) + round(joules * 1e6)) % most}\n")


def test_all_packages_are_counted_and_nothing_twice(
    powercap: Callable[..., Path], tmp_path: Path
) -> None:
    first, second = (powercap(f"intel-rapl:{n}", f"package-{n}", 5_000_000) for n in range(2))
    inner = powercap("intel-rapl:0:0", "core", 0)
    platform = powercap("intel-rapl:2", "psys", 0)
    meter = meter_for(CPU, powercap=tmp_path)
    meter.start()
    for folder, joules in ((first, 12.5), (second, 7.5), (inner, 100), (platform, 100)):
        add(folder, joules)
    assert meter.stop() == Energy(20.0, "measured")


def test_a_counter_may_begin_anew(powercap: Callable[..., Path], tmp_path: Path) -> None:
    folder = powercap("intel-rapl:0", "package-0", 99_000_000, most=100_000_000)
    meter = meter_for(CPU, powercap=tmp_path)
    meter.start()
    add(folder, 3.0)
    assert meter.stop() == Energy(3.0, "measured")


def test_known_power_gives_its_joules(powercap: Callable[..., Path], tmp_path: Path) -> None:
    folder = powercap("intel-rapl:0", "package-0", 0)
    (counter,) = packages(tmp_path)
    counter.start()
    for second in range(1, 121):  # two minutes at 65 W
        (folder / "energy_uj").write_text(f"{second * 65_000_000}")
    assert counter.stop() == pytest.approx(65 * 120, rel=0.01)


def test_a_counter_that_may_not_be_read_is_none(
    powercap: Callable[..., Path], tmp_path: Path
) -> None:
    (powercap("intel-rapl:0", "package-0", 0) / "energy_uj").unlink()
    assert meter_for(CPU, powercap=tmp_path)._counters == []
    assert meter_for(CPU, powercap=tmp_path / "nothing")._counters == []


def test_a_counter_that_goes_away_is_an_estimate(
    powercap: Callable[..., Path], tmp_path: Path
) -> None:
    folder = powercap("intel-rapl:0", "package-0", 0)
    meter = meter_for(CPU, load_watts=50, powercap=tmp_path)
    meter.start()
    (folder / "energy_uj").unlink()
    assert meter.stop().source == "estimated"


class Nvml:
    """The functions of NVML's module that are used, for a card of known power in watts."""

    NVMLError = type("NVMLError", (Exception,), {})

    def __init__(self, watts: Callable[[float], float], *, counts: bool = True) -> None:
        self.watts, self.counts = watts, counts
        self.start = time.perf_counter()
        self.asked: list[float] = []  # seconds
        self.joules = 0.0

    def nvmlInit(self) -> None: ...  # noqa: N802

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        assert uuid == "GPU-1234"
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        if not self.counts:
            raise self.NVMLError("Not Supported")
        return round(self.joules * 1e3)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:  # noqa: N802
        self.asked.append(time.perf_counter() - self.start)
        return round(self.watts(self.asked[-1]) * 1e3)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    def put(nvml: Any) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        properties = SimpleNamespace(uuid="1234")
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)

    return put


def test_a_gpus_own_counter_is_read(card: Callable[[Any], None]) -> None:
    nvml = Nvml(lambda _: 400)
    nvml.joules = 5000.0
    card(nvml)
    counter = nvml_counter(torch.device("cuda"))
    assert isinstance(counter, GpuCounter)
    counter.start()
    nvml.joules += 400 * 30  # half a minute at 400 W
    assert counter.stop() == pytest.approx(400 * 30, rel=0.01)


def test_a_gpu_without_a_counter_is_sampled(card: Callable[[Any], None]) -> None:
    """Power that rises evenly: the integral is known."""
    nvml = Nvml(lambda seconds: 100 + 200 * seconds, counts=False)
    card(nvml)
    counter = nvml_counter(torch.device("cuda"))
    assert isinstance(counter, GpuSampler)
    nvml.asked.clear()
    counter.start()
    time.sleep(0.5)
    joules = counter.stop()
    first, *_, last = nvml.asked
    expected = 100 * (last - first) + 100 * (last**2 - first**2)
    assert joules == pytest.approx(expected, rel=0.01)


def test_a_gpu_that_nvml_does_not_know_is_not_measured_by_its_processor(
    card: Callable[[Any], None], powercap: Callable[..., Path], tmp_path: Path
) -> None:
    powercap("intel-rapl:0", "package-0", 0)
    nvml = Nvml(lambda _: 400)
    nvml.nvmlDeviceGetHandleByUUID = lambda uuid: (_ for _ in ()).throw(nvml.NVMLError())
    card(nvml)
    meter = meter_for(torch.device("cuda"), load_watts=300, powercap=tmp_path)
    meter.start()
    assert meter.stop().source == "estimated"


def test_a_sampled_gpu_that_is_lost_is_not_half_measured() -> None:
    answers = iter([100_000.0])

    def read() -> float:
        try:
            return next(answers)
        except StopIteration:
            raise OSError("GPU is lost") from None

    meter = EnergyMeter([GpuSampler(read, every=0.01)])
    meter.start()
    time.sleep(0.05)
    assert meter.stop() == Energy(None, "unknown")


def test_without_a_counter_the_watts_make_an_estimate() -> None:
    meter = EnergyMeter([], load_watts=200)
    before = time.perf_counter()
    meter.start()
    began = time.perf_counter()
    time.sleep(0.1)
    ended = time.perf_counter()
    energy = meter.stop()
    after = time.perf_counter()
    assert energy.source == "estimated"
    assert energy.joules is not None
    assert ended - began <= energy.joules / 200 <= after - before


def test_what_is_not_known_is_no_zero() -> None:
    meter = EnergyMeter()
    meter.start()
    assert meter.stop() == Energy(None, "unknown")


def test_every_generation_says_what_it_drew() -> None:
    engine = load_engine("sketch", load_watts=100)
    assert engine.generate(REQUEST).usage.energy != "unknown"
    one, two = engine.generate_batch([REQUEST, REQUEST])
    assert isinstance(one, Result)
    assert isinstance(two, Result)
    assert one.usage.joules
    assert two.usage.joules
