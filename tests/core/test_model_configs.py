"""Config files of models: what is not what this version reads is refused in a sentence that says what to do."""

import json

import pytest

from samespace.assistant.checkpoint import read_config as read_assistant_config
from samespace.core.errors import UnknownAssistant, UnknownGenerator, UnknownSpace
from samespace.generate.generator import read_generator_config
from samespace.generate.native_registry import read_native_config
from samespace.spaces.space import read_space_config

KINDS = [
    (read_space_config, "space.json", UnknownSpace, "pull the space again"),
    (read_assistant_config, "assistant.json", UnknownAssistant, "install the assistant again"),
    (read_generator_config, "generator.json", UnknownGenerator, "train it again"),
    (read_native_config, "native.json", UnknownGenerator, "train it again"),
]


@pytest.mark.parametrize("read, file, error, mend", KINDS, ids=[kind[1] for kind in KINDS])
@pytest.mark.parametrize("content, fault", [
    (None, "no readable"), (b"", "no readable"), (b"[1]", "it is not an object"), (b"\xff\xfe{", "no readable"),
    (json.dumps({"format": 99}).encode(), "has format 99, this version reads"), (b"{}", "has format None"),
])  # fmt: skip
def test_what_is_no_config_is_refused(tmp_path, read, file, error, mend, content, fault):
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(error, match=fault) as raised:
        read(tmp_path)
    assert str(raised.value).endswith(mend) and str(tmp_path) in str(raised.value)
