"""What several tests share: a tiny space, real photographs, and folders of them; and skips that fail where nothing may be missing."""

import json
import os
import shutil
import socket
import urllib.request
from pathlib import Path

import clip_words
import pytest
import skimage.data
import torch
from chromium import browser, shared_chromium  # noqa: F401  fixtures
from media_files import PLAIN, on_white
from PIL import Image
from random_weights import randomised
from tiny_assistant import few_texts, smollm2, tiny, tiny_folder, tiny_with_labels  # noqa: F401  fixtures
from tiny_generator import tiny_generator  # noqa: F401  a fixture

import benchmarks.torchvision_on_cpu  # noqa: F401  before anything imports torchvision

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the client
SHARE = max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
"""Threads of each process that runs tests: more of them than there are processors wait for each other, ten times as long."""
torch.set_num_threads(SHARE)
os.environ.setdefault("SAMESPACE_THREADS", str(SHARE))  # of ONNX Runtime, here and in what tests start
os.environ.setdefault("OMP_NUM_THREADS", str(SHARE))
NEED_ALL = os.environ.get("SAMESPACE_TESTS_NEED_ALL") == "1"
"""Whether a skipped test is a failure, as in CI: what tests need is installed there."""
PHOTOGRAPHS = Path(skimage.data.__file__).parent


SLOW = {
    "assistant": {
        "test_excerpts", "test_language", "test_language_families", "test_llava", "test_local_server", "test_registry",
        "test_starter_assistant", "test_video_stream", "test_vision_language_families",
    },
    "cli": {"test_cli", "test_cli_ask"},
    "evaluate": {"test_suite"},
    "explain": {"test_heatmap", "test_trace"},
    "library": {
        "test_audio_refresh", "test_checkup", "test_cluster", "test_concepts", "test_further_pictures", "test_importers", "test_library", "test_object_storage", "test_pages_found",
        "test_marks", "test_segments", "test_space_map", "test_spoken_moments", "test_store", "test_watch", "test_words_found",
    },
    "media": {"test_audio", "test_document", "test_speech", "test_transcripts", "test_video"},
    "operate": {"test_desktop", "test_local_policy", "test_operate_command", "test_operation", "test_screen_tools"},
    "tests": {"test_error_sentences", "test_faults", "test_fuzz_cases"},
    "server": {"test_browser", "test_doors", "test_draw_page", "test_lab_page", "test_mcp_server", "test_pages", "test_screen_loop_page", "test_server", "test_timeline"},
    "spaces": {
        "test_bad_checkpoints", "test_checkpoint", "test_clap", "test_conversion", "test_cross_encoder", "test_devices", "test_export", "test_hub",
        "test_prebuilt", "test_starter",
    },
    "train": {
        "test_adapters", "test_contrastive", "test_conversations", "test_data", "test_drawing_run", "test_loop", "test_native_run", "test_regions", "test_s3",
        "test_sources", "test_space_run",
    },
}  # fmt: skip
"""Files whose tests convert, train, index or start processes; `make check` leaves them out."""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem in SLOW.get(item.path.parent.name, ()):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)  # the long files first, so that workers end together


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if NEED_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"skipped, and nothing may be missing here: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    if NEED_ALL and report.skipped:
        report.outcome, report.longrepr = "failed", f"skipped, and nothing may be missing here: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def photographs() -> Path:
    """The folder of scikit-image's photographs."""
    return PHOTOGRAPHS


@pytest.fixture(scope="session")
def clip_bpe() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's vocabulary and merges."""
    return clip_words.bpe()


@pytest.fixture(scope="session")
def clip_tokenizer_folder(tmp_path_factory) -> Path:
    """vocab.json and merges.txt, as the first CLIP's repository has them."""
    return clip_words.write(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def tiny_clip_folder(tmp_path_factory, clip_tokenizer_folder) -> Path:
    """A tiny random CLIP in transformers' layout."""
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("hf") / "tiny-clip"
    torch.manual_seed(0)
    config = CLIPConfig(
        projection_dim=24,
        vision_config=dict(
            hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, image_size=64, patch_size=16
        ),
        text_config=dict(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=49408,
            bos_token_id=49406, eos_token_id=49407,
        ),
    )  # fmt: skip
    randomised(CLIPModel(config)).save_pretrained(folder)
    for file in clip_tokenizer_folder.iterdir():
        shutil.copy(file, folder)
    preprocessor = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}, "resample": 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


@pytest.fixture(scope="session")
def traced_once(tmp_path_factory):
    """From here on towers of equal architectures are traced once, by all processes of a run: graphs are the same but for their weights."""
    from traced_graphs import TracedGraphs

    from samespace.generate import export as generator_export
    from samespace.spaces.convert import export

    base = tmp_path_factory.getbasetemp()  # one beside those of all processes, which the next run does not find
    graphs = TracedGraphs((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "traced")
    with pytest.MonkeyPatch.context() as patch:
        for module in (export, generator_export):
            patch.setattr(module, "trace", graphs.trace)
        yield


@pytest.fixture(scope="session", autouse=True)
def opened_once():
    """Sessions and tokenizers are shared by all spaces whose files are the same."""
    from opened_files import opened_files

    with opened_files():
        yield


@pytest.fixture(scope="session")
def tiny_space_folder(tmp_path_factory, tiny_clip_folder, traced_once) -> Path:
    """The tiny CLIP converted into a space folder."""
    from samespace.spaces.convert import install

    folder = tmp_path_factory.mktemp("spaces") / "tiny"
    install.convert(tiny_clip_folder, folder, name="tiny", precision="fp32")
    return folder


@pytest.fixture
def tiny_space(tiny_space_folder):
    from samespace.spaces.space import Space

    return Space(tiny_space_folder)


@pytest.fixture
def album(tmp_path, photographs) -> Path:
    """A folder with a few photographs in two levels."""
    folder = tmp_path / "album"
    (folder / "more").mkdir(parents=True)
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        shutil.copy(photographs / name, folder)
    shutil.copy(photographs / "astronaut.png", folder / "more")
    return folder


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    """No test sees or touches the user's own library, spaces or hub cache."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("SAMESPACE_LIBRARY", str(home / "library"))
    monkeypatch.setenv("SAMESPACE_SPACES", str(home / "spaces"))
    monkeypatch.setenv("SAMESPACE_ASSISTANTS", str(home / "assistants"))
    monkeypatch.setenv("SAMESPACE_SPEECH", str(home / "speech"))
    monkeypatch.setenv("SAMESPACE_RERANKERS", str(home / "rerankers"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("SAMESPACE_DEVICES", str(home / "devices.json"))
    return home


@pytest.fixture(scope="session")
def drawings() -> dict[str, Image.Image]:
    """PLAIN by name, on white."""
    folder = Path(__file__).parents[1] / "src" / "samespace" / "spaces" / "convert" / "held_out"
    rows = [line.split("\t") for line in (folder / "pairs.tsv").read_text("utf-8").splitlines()]
    files = {title: folder / name for name, title in rows}
    return {title: on_white(files[title]) for title in PLAIN}


@pytest.fixture
def bucket(monkeypatch):
    """An empty bucket, `pictures`, of a local S3 server; its address stands in the usual variables."""
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=port)
    server.start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(
        f"http://127.0.0.1:{port}/moto-api/reset", data=b""
    ).close()  # servers of a process share their buckets
    client = boto3.client("s3")
    client.create_bucket(Bucket="pictures")
    yield client
    server.stop()


@pytest.fixture
def own_trash(tmp_path, monkeypatch):
    """A trash of the test's own; where it lies is decided when send2trash is imported."""
    from send2trash import plat_other

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(plat_other, "XDG_DATA_HOME", os.fsencode(tmp_path / "data"))
    monkeypatch.setattr(plat_other, "HOMETRASH_B", os.fsencode(tmp_path / "data" / "Trash"))
    monkeypatch.setattr(plat_other, "HOMETRASH", str(tmp_path / "data" / "Trash"))
