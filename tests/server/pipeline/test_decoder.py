"""The decoder's process: it answers like a decoder in this one, ends for many reasons, and leaves nothing."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from server.domain import Codec
from server.errors import VideoDecoderError
from server.pipeline.decoder import DecoderLimits, DecoderProcess
from server.vision.decode import ImageLimits, decode
from server.vision.video import VideoDecoder
from tests.encoded import encoded

LIMITS = DecoderLimits(max_pixels=2**20, packet_s=20)
TINY = DecoderLimits(max_pixels=160 * 120, packet_s=20)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


@pytest.fixture
def started():
    """Starts decoders, and ends them after the test."""
    running = []

    def start(codec=Codec.H264, limits=LIMITS):
        running.append(DecoderProcess(codec, limits))
        return running[-1]

    yield start
    for decoder in running:
        decoder.close()


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(pid):
    for _ in range(1000):
        if not is_running(pid):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_pictures_are_those_of_a_decoder_in_this_process(started, codec, b_frames):
    packets = encoded(12, codec=codec.value, b_frames=b_frames, group=6, noise=10, size=(318, 182))
    here, there = VideoDecoder(codec, max_pixels=2**20), started(codec)
    steps = [
        *((list(here.decode(packet.data, n)), there.decode(packet.data, n)) for n, packet in enumerate(packets)),
        (list(here.flush()), there.flush()),
    ]
    for expected, decoded in steps:
        assert decoded.refusal is None
        assert [number for number, _ in decoded.pictures] == [picture.number for picture in expected]
        for picture, (_, image) in zip(expected, decoded.pictures, strict=True):
            np.testing.assert_array_equal(decode(image, ImageLimits(max_bytes=1)), picture.pixels)


def test_a_damaged_packet_is_refused_after_the_pictures_from_before_it(started):
    packets = encoded(6, b_frames=3, noise=30)
    decoder = started()
    assert decoder.decode(packets[0].data, 0).pictures == ()
    decoded = decoder.decode(packets[1].data[:40], 1)
    assert decoded.refusal.reason == "PACKET_DAMAGED"
    assert decoded.pictures[0][0] == 0
    assert decoder.decode(packets[0].data, 2).refusal is None
    assert [number for number, _ in decoder.flush().pictures] == [2]


def test_a_picture_over_the_limit_is_refused_and_the_decoder_goes_on(started):
    decoder = started(limits=TINY)
    large, small = encoded(1, size=(1920, 1080)), encoded(1)
    refusal = decoder.decode(large[0].data, 1).refusal
    assert (refusal.reason, "1920x1080" in refusal.message) == ("IMAGE_PIXELS_EXCEEDED", True)
    assert len(decoder.decode(small[0].data, 2).pictures) == 1


@LINUX
def test_a_picture_that_is_refused_is_not_allocated_before(started):
    decoder = started(Codec.HEVC, TINY)
    before = resident(decoder.pid)
    (packet,) = encoded(1, codec="hevc", size=(7680, 4320), params={"preset": "ultrafast"})
    assert decoder.decode(packet.data, 1).refusal.reason == "IMAGE_PIXELS_EXCEEDED"
    assert resident(decoder.pid) - before < 7680 * 4320 * 1.5


def resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_decoder_that_dies_is_an_error_that_says_how(started, number):
    decoder = started()
    packets = encoded(2)
    decoder.decode(packets[0].data, 1)
    os.kill(decoder.pid, number)
    with pytest.raises(VideoDecoderError, match=number.name) as failed:
        decoder.decode(packets[1].data, 2)
    assert failed.value.reason == "DECODER_FAILED"
    assert not is_running(decoder.pid)
    with pytest.raises(VideoDecoderError, match="closed"):
        decoder.decode(packets[1].data, 3)


def test_a_decoder_that_cannot_begin_says_why():
    # The process asks FFmpeg for a decoder of still images and gets none.
    with pytest.raises(VideoDecoderError, match=r"status 1 \(KeyError") as failed:
        DecoderProcess(Codec.JPEG, LIMITS)
    assert failed.value.reason == "DECODER_FAILED"


def test_a_decoder_that_hangs_is_given_up(started):
    decoder = started(limits=DecoderLimits(max_pixels=2**20, packet_s=0.1))
    os.kill(decoder.pid, signal.SIGSTOP)
    with pytest.raises(VideoDecoderError, match="did not answer within"):
        decoder.decode(encoded(1)[0].data, 1)
    assert not is_running(decoder.pid)


def test_a_packet_that_takes_too_much_processor_time_ends_the_decoder(started):
    limits = DecoderLimits(max_pixels=2**24, packet_s=0.1)
    (packet,) = encoded(1, size=(3840, 2160), noise=60, params={"preset": "ultrafast"})
    with pytest.raises(VideoDecoderError, match=r"more than 0\.1 s of processor time"):
        started(limits=limits).decode(packet.data, 1)


@LINUX
def test_a_decoder_may_not_use_more_memory_than_its_pictures_need(started):
    decoder = started()
    (limit,) = (
        line.split()[3]
        for line in Path(f"/proc/{decoder.pid}/limits").read_text().splitlines()
        if line.startswith("Max address space")
    )
    assert int(limit) < 2**30


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC])
def test_the_memory_suffices_for_as_many_reference_pictures_as_the_standards_allow(started, codec):
    size = (1280, 720)
    params = {"ref": "16", "bframes": "8"} if codec is Codec.H264 else {"ref": "8", "bframes": "8"}
    packets = encoded(24, codec=codec.value, size=size, group=24, params={**params, "preset": "ultrafast"})
    decoder = started(codec, DecoderLimits(max_pixels=size[0] * size[1], packet_s=20))
    decoded = [decoder.decode(packet.data, number) for number, packet in enumerate(packets)]
    assert [each.refusal for each in decoded] == [None] * 24


@LINUX
def test_closing_ends_the_process_and_frees_what_it_held(started):
    files = len(list(Path("/proc/self/fd").iterdir()))
    decoder = started()
    decoder.decode(encoded(1)[0].data, 1)
    decoder.close()
    decoder.close()
    assert not Path(f"/proc/{decoder.pid}").exists()
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def open_files():
    return sorted(int(path.name) for path in Path("/proc/self/fd").iterdir() if path.exists())


@contextmanager
def room_for(count):
    """Lets this process open so many files more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = set(open_files())
    free = itertools.islice((number for number in itertools.count() if number not in taken), count, None)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(free), limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@LINUX
@pytest.mark.parametrize("files", range(7))
def test_without_room_for_its_files_no_decoder_starts_and_none_of_them_stays_open(started, files):
    before = open_files()
    with room_for(files), pytest.raises(VideoDecoderError, match=r"no video decoder can be started: .*open files"):
        started()
    assert open_files() == before


@LINUX
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_process_ends_with_its_server_however_that_ends(number):
    program = """
        from server.domain import Codec
        from server.pipeline.decoder import DecoderLimits, DecoderProcess
        decoder = DecoderProcess(Codec.H264, DecoderLimits(2**20, 2))
        print(decoder.pid, flush=True)
        import time
        time.sleep(60)
    """
    paths = os.pathsep.join([str(Path.cwd()), str(Path.cwd() / "proto")])
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths},
    ) as parent:  # fmt: skip
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.send_signal(number)
    assert ended(pid)
