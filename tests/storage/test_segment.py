"""Rule under test: what is written lies in the file as given, however it was cut; large writes are cut at 32 KiB."""

import os

import pytest

from kbroker.storage import segment as segment_module

PIECE = 32 * 1024


@pytest.mark.parametrize("position", [0, 5, PIECE, PIECE + 1, 3 * PIECE - 1])
@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([100], id="one small buffer"),
        pytest.param([64 * 1024], id="the largest that is written whole"),
        pytest.param([1_000_000], id="one large buffer"),
        pytest.param([PIECE] * 9, id="buffers that end where pieces end"),
        pytest.param([16_000] * 40, id="many buffers in a piece, cut anywhere"),
        pytest.param([0, 70_000, 0, 0, 1, 70_000, 0], id="empty ones between"),
        pytest.param([61] * 5000, id="more buffers than a call takes"),
    ],
)
def test_writes_lie_in_the_file_as_given(tmp_path, monkeypatch, sizes, position):
    """Pieces end where the kernel's blocks end, and nothing is lost or doubled between them."""
    buffers = [os.urandom(size) for size in sizes]
    calls = []
    pwritev = os.pwritev

    def recorded(fd, parts, at):
        calls.append((at, sum(map(len, parts))))
        return pwritev(fd, parts, at)

    monkeypatch.setattr(segment_module.os, "pwritev", recorded)
    monkeypatch.setattr(segment_module.os, "pwrite", lambda fd, part, at: recorded(fd, [part], at))
    path = tmp_path / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    segment_module.write_at(fd, buffers, position)
    os.close(fd)
    assert path.read_bytes() == bytes(position) + b"".join(buffers)
    if sum(sizes) > 64 * 1024:
        large = [(at, size) for at, size in calls[:-1] if sum(sizes) - (at - position) > 64 * 1024]
        assert all(at // PIECE == (at + size - 1) // PIECE for at, size in large)


def test_a_short_write_is_continued(tmp_path, monkeypatch):
    """A signal or a quota may cut any write; the rest follows."""
    pwritev = os.pwritev
    monkeypatch.setattr(segment_module.os, "pwritev", lambda fd, parts, at: pwritev(fd, [b"".join(parts)[:777]], at))
    monkeypatch.setattr(segment_module.os, "pwrite", lambda fd, part, at: pwritev(fd, [part[:20_000]], at))
    buffers = [os.urandom(size) for size in (50_000, 1, 90_000)]
    path = tmp_path / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    segment_module.write_at(fd, buffers, 11)
    os.close(fd)
    assert path.read_bytes() == bytes(11) + b"".join(buffers)
