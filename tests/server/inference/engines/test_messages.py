from __future__ import annotations

import logging
import threading
from types import SimpleNamespace

import pytest

from server.inference.engines.messages import listening, logger_of


class Severity:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class Logger:
    """What TensorRT's own class does: nothing."""

    Severity = Severity


@pytest.fixture
def api():
    return SimpleNamespace(ILogger=Logger)


def elsewhere(work, *arguments):
    """Does something in another thread, as a thread of the library would."""
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    thread.join()


def test_there_is_one_logger_for_a_library(api):
    assert logger_of(api) is logger_of(api)
    assert logger_of(api) is not logger_of(SimpleNamespace(ILogger=Logger))


def test_each_thread_hears_the_errors_of_its_own_calls_alone(api):
    logger, heard = logger_of(api), []

    def build():
        with listening() as said:
            logger.log(Severity.ERROR, "no kernel")
            heard.extend(said.own)

    with listening() as said:
        elsewhere(build)
        logger.log(Severity.INTERNAL_ERROR, "out of memory")
        logger.log(Severity.WARNING, "a note")
    logger.log(Severity.ERROR, "too late")
    assert (said.own, heard) == (["out of memory"], ["no kernel"])
    assert said.overheard == []


def test_what_the_library_says_in_a_thread_of_its_own_is_overheard_and_decides_nothing(api):
    with listening() as said:
        elsewhere(logger_of(api).log, Severity.ERROR, "no kernel")
        assert said.own == []
        logger_of(api).log(Severity.ERROR, "no engine")
    elsewhere(logger_of(api).log, Severity.ERROR, "too late")
    assert (said.own, said.overheard, said.text) == (["no engine"], ["no kernel"], "no engine; no kernel")


def test_everything_worth_reading_is_in_the_log(api, caplog):
    with caplog.at_level(logging.DEBUG):
        for severity, message in enumerate(("bug", "error", "warning", "note", "chatter")):
            logger_of(api).log(severity, message)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "TensorRT: bug"),
        ("ERROR", "TensorRT: error"),
        ("DEBUG", "TensorRT: warning"),
        ("DEBUG", "TensorRT: note"),
    ]
