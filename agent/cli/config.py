"""`gesso config`: the settings of a project, and where each came from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from .options import Folder, Json
from .up import Concurrency, Device, Dtype, Model


def config(
    folder: Folder = Path(),
    model: Model = None,
    device: Device = None,
    dtype: Dtype = None,
    concurrency: Concurrency = None,
    as_json: Json = False,
) -> None:
    """Print the settings that `gesso up` would have with these flags, and where each is from."""
    from ..settings import explain_settings
    from .output import print_json, print_table

    settings = explain_settings(
        folder, model=model, device=device, dtype=dtype, concurrency=concurrency
    )
    if as_json:
        print_json([asdict(setting) for setting in settings])
        return
    print_table(
        "Set by gesso.toml, GESSO_NAME or a flag of `gesso up`; the later one wins",
        ("setting", "value", "from"),
        [
            (setting.name, "" if setting.value is None else str(setting.value), setting.origin)
            for setting in settings
        ],
    )
