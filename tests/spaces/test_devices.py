"""Devices: named, measured, and left for the CPU where they fail."""

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from PIL import Image
from typer.testing import CliRunner

from samespace.cli.main import app
from samespace.core.config import ImageTower, SpaceConfig
from samespace.core.errors import QueryError
from samespace.preprocess.pixels import batches, square
from samespace.spaces import devices, sessions
from samespace.spaces.convert import export, install
from samespace.spaces.space import Space

SCRIPT = """
import json, sys
import numpy as np
from samespace.spaces import devices
from samespace.spaces.space import Space
space, picture = Space(__import__("pathlib").Path(sys.argv[1])), np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
z = space.image([picture])
print(json.dumps({"device": space._image_tower.device, "z": z[0].tolist(), "measured": devices.measure(space.folder, space.config)}))
"""


@pytest.fixture
def picture():
    return np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)


@pytest.fixture(scope="session")
def openvino(tmp_path_factory):
    """An ONNX Runtime with OpenVINO, in a folder of its own: it cannot be installed beside the other."""
    folder = tmp_path_factory.mktemp("openvino")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(folder),
        "onnxruntime-openvino>=1.24",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_openvino_gives_the_cpus_vectors(tiny_space_folder, openvino, picture, tmp_path):
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(openvino), *sys.path]), "SAMESPACE_DEVICE": "openvino", "SAMESPACE_DEVICES": str(tmp_path / "d.json"),
    }  # fmt: skip
    command = [sys.executable, "-c", SCRIPT, str(tiny_space_folder)]
    found = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert found["device"] == "openvino" and min(found["measured"].values()) > 0
    np.testing.assert_allclose(found["z"], Space(tiny_space_folder).image([picture])[0], atol=1e-4)
    assert set(next(iter(json.loads((tmp_path / "d.json").read_text()).values()))) == {"cpu", "openvino"}


@pytest.mark.parametrize("faster", ["cpu", "cuda"])
def test_what_was_measured_to_be_the_fastest_is_used(tiny_space_folder, monkeypatch, faster):
    """Measured once, and again when there is a device that was not there before."""
    config, calls = Space(tiny_space_folder).config, []

    class Clock:
        def __init__(self, folder, tower, device="cpu"):
            self.device = device
            calls.append(device)

    monkeypatch.setattr(devices, "available_devices", lambda: ["cpu", "cuda"])
    monkeypatch.setattr(devices, "open_tower", Clock)
    monkeypatch.setattr(devices, "_rate", lambda tower, pixels: 20.0 if tower.device == faster else 10.0)
    assert devices.device_for(tiny_space_folder, config) == devices.device_for(tiny_space_folder, config) == faster
    assert calls == ["cpu", "cuda"]
    monkeypatch.setenv(sessions.DEVICE, "cuda")
    assert devices.device_for(tiny_space_folder, config) == "cuda"


def test_where_memory_is_missing_fewer_pictures_are_encoded_at_once(tiny_space_folder, monkeypatch):
    tower, ran = sessions.open_tower(tiny_space_folder, "image"), []
    run = tower.session.run

    class Session:
        def run(self, gives, feed):
            rows = len(feed["pixels"])
            ran.append(rows)
            if rows > 4:
                raise RuntimeError("Failed to allocate memory for requested buffer of size 123456")
            return run(gives, feed)

    pixels = np.random.default_rng(0).normal(size=(10, 3, 64, 64)).astype(np.float32)
    want = tower(pixels)
    tower.session = Session()
    np.testing.assert_allclose(tower(pixels), want, atol=1e-6)
    assert ran == [10, 8, 4, 4, 2] and tower.most == 4
    monkeypatch.setattr(Session, "run", lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory")))
    with pytest.raises(RuntimeError, match="out of memory"):
        tower(pixels)


@pytest.mark.parametrize(
    ("device", "free", "batch"), [("cuda", 0, 64), ("cpu", 0, 16), ("cpu", 2**36, 16), ("cpu", 2**31, 6), ("cpu", 2**20, 1)]
)
def test_a_batch_is_what_fits_into_memory(monkeypatch, device, free, batch):
    """SO400M/14 at 378 pixels is taken to need 86 MB a picture."""
    monkeypatch.setattr(devices, "free_memory", lambda: free)
    tower = ImageTower(image_size=378, patch=14, width=1152, layers=27, heads=16, mlp=4304)
    assert devices.fitting_batch(SpaceConfig(image=tower), device) == batch


def test_an_accelerator_gets_a_graph_that_computes_in_fp16(tiny_clip_folder, traced_once, tmp_path, monkeypatch, picture, caplog):
    """It gives the same vectors; where the accelerator fails, the CPU goes on with its own graph."""
    monkeypatch.setattr(export, "MAX_RECALL_LOSS", 1.0)  # random weights recall nothing
    monkeypatch.setenv(sessions.DEVICE, "cuda")
    config = install.convert(tiny_clip_folder, tmp_path / "space")
    half = sessions.graph_of(tmp_path / "space", "image", "cuda")
    assert half.name == "image.half.onnx" and half.name in config.files and config.card["precision"]["image"]["half"]["passes"]
    assert sessions.graph_of(tmp_path / "space", "image").name == "image.onnx"
    weights = [i.data_type for i in onnx.load(half, load_external_data=False).graph.initializer if len(i.dims) == 2]
    assert weights and set(weights) == {onnx.TensorProto.FLOAT16}
    space = Space(tmp_path / "space")
    z = space.image([picture])
    assert "cuda cannot run image.half.onnx" in caplog.text
    pixels = next(batches(square(Image.fromarray(picture), config.prep)[None], config.prep, 1))
    in_half = sessions.Tower(half)(pixels)
    assert (
        in_half.dtype == np.float32 and float((in_half * z).sum()) > 0.99
    )  # z is of int8 weights, whose products saturate without VNNI
    assert np.linalg.norm(in_half) == pytest.approx(1, abs=1e-6)
    monkeypatch.delenv(sessions.DEVICE)
    np.testing.assert_array_equal(z, Space(tmp_path / "space").image([picture]))
    assert not (install.convert(tiny_clip_folder, tmp_path / "plain").files.keys() & {"image.half.onnx"})


def test_a_device_that_is_not_there_leaves_it_to_the_cpu(tiny_space_folder, monkeypatch, picture, caplog):
    monkeypatch.setenv(sessions.DEVICE, "cuda")
    z = Space(tiny_space_folder).image([picture])
    assert "cuda cannot run image.onnx" in caplog.text and "the CPU does" in caplog.text
    monkeypatch.delenv(sessions.DEVICE)
    np.testing.assert_array_equal(z, Space(tiny_space_folder).image([picture]))


def test_a_device_that_fails_on_the_way_leaves_it_to_the_cpu(tiny_space_folder, picture, caplog):
    space = Space(tiny_space_folder)
    want = space.image([picture])

    class OutOfMemory:
        def run(self, *arguments):
            raise RuntimeError("out of memory")

    space._image_tower.device, space._image_tower.session = "cuda", OutOfMemory()
    np.testing.assert_array_equal(space.image([picture]), want)
    assert "out of memory" in caplog.text


def test_a_device_that_does_not_exist_is_refused(monkeypatch, tmp_path):
    said = CliRunner().invoke(app, ["embed", "hello", "--device", "abacus"])
    assert said.exit_code == 1 and "abacus" in said.stderr
    monkeypatch.setenv(sessions.DEVICE, "abacus")
    with pytest.raises(QueryError, match="openvino"):
        sessions.wanted_device()
