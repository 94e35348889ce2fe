"""What `samespace doctor` says of folders that other users of the machine may write to."""

import os

import pytest
from typer.testing import CliRunner

from samespace.cli.doctor import open_to_others
from samespace.cli.main import app


@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
def test_folders_that_others_may_write_to_are_named(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    for kind in ("spaces", "assistants", "generators", "natives", "rerankers", "speech", "library"):
        (tmp_path / kind).mkdir(mode=0o755)
        monkeypatch.setenv(f"SAMESPACE_{kind.upper()}", str(tmp_path / kind))
    assert "you alone" in CliRunner().invoke(app, ["doctor"]).output
    (tmp_path / "spaces").chmod(0o777)
    (tmp_path / "library").chmod(0o777)
    said = CliRunner().invoke(app, ["doctor"]).output
    assert "you alone" not in said
    for kind in ("spaces", "library"):
        assert f"{tmp_path / kind}: other users of this machine may change what is in it; close it with: chmod go-w" in said
    assert f"{tmp_path / 'assistants'}: other" not in said


@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
def test_a_folder_above_counts_unless_it_protects_what_is_in_it(tmp_path):
    (inner := tmp_path / "above" / "inner").mkdir(parents=True)
    (tmp_path / "above").chmod(0o777)
    assert open_to_others(inner) == tmp_path / "above"
    (tmp_path / "above").chmod(0o1777)  # as /tmp is
    assert open_to_others(inner) is None


@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
def test_a_group_of_one_is_nobody_else(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models").chmod(0o775)  # as umask 002 makes it
    assert open_to_others(tmp_path / "models") is None
