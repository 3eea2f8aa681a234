"""Log lines are JSON objects or readable lines, with the call's id."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

from server.telemetry.logs import JsonFormatter, TextFormatter, request_id

PROJECT = Path(__file__).parents[3]


def record(**extra):
    made = logging.LogRecord("server.app", logging.INFO, "", 0, "listening on %s", ("here",), None)
    made.__dict__.update(extra)
    return made


def test_a_json_line_holds_the_event_its_fields_and_the_call_s_id():
    token = request_id.set("abc")
    try:
        line = json.loads(JsonFormatter().format(record(port=5)))
    finally:
        request_id.reset(token)
    assert (line["event"], line["level"], line["port"], line["request_id"]) == ("listening on here", "INFO", 5, "abc")


def test_a_json_line_is_one_line_even_with_a_traceback():
    failed = record()
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        failed.exc_info = sys.exc_info()
    line = JsonFormatter().format(failed)
    assert "\n" not in line
    assert "broken" in json.loads(line)["exception"]


def test_the_time_of_a_line_is_the_record_s_own():
    made = record()
    made.created = 0.0
    assert json.loads(JsonFormatter().format(made))["time"] == "1970-01-01T00:00:00.000+00:00"


def test_a_text_line_shows_fields_as_key_value():
    assert TextFormatter().format(record(port=5)).endswith("listening on here port=5")


def test_a_worker_s_number_is_in_each_of_its_lines():
    """In a process of its own, because the log is set up for a whole process."""
    code = (
        "import logging; from server.telemetry.logs import set_up_logging\n"
        "set_up_logging(style='json', level='INFO', worker=3); logging.getLogger('server.app').info('here')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert json.loads(done.stderr)["worker"] == 3
