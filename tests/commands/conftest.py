"""`coat` in this process."""

import sys

import pytest

from coat_ray import cli


@pytest.fixture
def coat(capsys, monkeypatch, coat_home):
    """Run `coat`: exit code, standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["coat", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return run
