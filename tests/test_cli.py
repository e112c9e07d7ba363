import pytest

from galr.common import cli
from galr.common.errors import RunError, UserError


def raising(error):
    def main(argv):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("a.yaml:3", "bad\nvalue", "mend it"), 2, "error: a.yaml:3: bad value; mend it"),
        (RunError("disk", "full", "empty it"), 1, "error: disk: full; empty it"),
        (ZeroDivisionError("one\ntwo"), 1, "error: unexpected ZeroDivisionError: one two"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C"),
    ],
)
def test_an_error_is_one_line_and_a_status(capsys, error, status, line):
    assert cli.run(raising(error), []) == status
    shown = capsys.readouterr().err
    assert shown.startswith(line)
    assert shown.count("\n") == 1


def test_the_traceback_is_there_for_those_who_ask(capsys, monkeypatch):
    monkeypatch.setenv("GALR_DEBUG", "1")
    cli.run(raising(UserError("a", "b", "c")), [])
    assert "Traceback" in capsys.readouterr().err


def test_success_is_status_0():
    assert cli.run(lambda argv: None, []) == 0


def test_a_wrong_argument_is_one_line_and_status_2(capsys):
    parser = cli.ArgumentParser("A script.", prog="script")
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--nonsense"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
