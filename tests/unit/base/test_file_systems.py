"""Which file systems are network file systems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model_inbox.base import file_systems as module
from model_inbox.base.file_systems import is_network_file_system


@pytest.mark.parametrize(
    ("magic", "network"), [(0x6969, True), (0xFF534D42, True), (0x65735546, True), (0xEF53, False), (0x01021994, False)]
)
def test_network_file_systems_are_told_by_statfs(
    tmp_path: Path, magic: int, network: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's magic numbers (statfs(2)): NFS, CIFS and FUSE are polled, ext4 and tmpfs are not."""

    class Kernel:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def statfs(self, _: bytes, buffer: Any) -> int:
            # CIFS's number has its highest bit set, and the field is signed: kernels fill it either way.
            buffer.raw = magic.to_bytes(8, "little") + bytes(248)
            return 0

    monkeypatch.setattr(module, "CDLL", Kernel)
    assert is_network_file_system(tmp_path) is network


def test_statfs_of_real_folders(tmp_path: Path) -> None:
    """A tmpfs is local; what is not there is an OSError that names it."""
    assert not is_network_file_system(Path("/dev/shm"))
    with pytest.raises(OSError, match="nowhere"):
        is_network_file_system(tmp_path / "nowhere")
