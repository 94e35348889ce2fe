"""What `samespace doctor` says of folders that other users of the machine may write to."""

import os

import pytest
from typer.testing import CliRunner

from samespace.cli.doctor import others_may_write
from samespace.cli.main import app


@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
def test_folders_that_others_may_write_to_are_named(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    for kind in ("spaces", "assistants", "generators", "natives", "rerankers", "speech", "library"):
        (tmp_path / kind).mkdir(mode=0o755)
        monkeypatch.setenv(f"SAMESPACE_{kind.upper()}", str(tmp_path / kind))
    assert "you alone" in CliRunner().invoke(app, ["doctor"]).output
    (tmp_path / "spaces").chmod(0o777)
    (tmp_path / "library").chmod(0o775)
    said = CliRunner().invoke(app, ["doctor"]).output
    assert "you alone" not in said
    for kind in ("spaces", "library"):
        assert f"{tmp_path / kind}: other users of this machine may change what is in it; close it with: chmod -R go-w" in said
    assert f"{tmp_path / 'assistants'}: other" not in said


@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
def test_a_folder_above_counts_unless_it_protects_what_is_in_it(tmp_path):
    (inner := tmp_path / "above" / "inner").mkdir(parents=True)
    (tmp_path / "above").chmod(0o777)
    assert others_may_write(inner)
    (tmp_path / "above").chmod(0o1777)  # as /tmp is
    assert not others_may_write(inner)
