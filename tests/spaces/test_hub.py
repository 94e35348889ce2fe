"""Names and where they lead; the hub itself is a small stand-in, since tests run without a network."""

import io
import os
from functools import partial
from types import SimpleNamespace

import huggingface_hub
import pytest
import typer

from samespace.cli import console
from samespace.core.errors import MissingExtra, Offline, UnknownSpace
from samespace.spaces import registry
from samespace.spaces.checkpoints import families, open_clip_names
from samespace.spaces.convert import hub, install


@pytest.mark.parametrize(
    ("name", "repo"),
    [
        ("ViT-B-32/laion2b_s34b_b79k", ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", None)),
        ("hf-hub:laion/anything", ("laion/anything", None)),
        ("laion/anything@c0ffee", ("laion/anything", "c0ffee")),
        ("openai/clip-vit-base-patch32", ("openai/clip-vit-base-patch32", None)),
    ],
)
def test_names_lead_to_repositories(name, repo):
    assert hub.repo_of(name) == repo


def test_open_clips_own_table_agrees():
    import open_clip

    theirs = {f"{model}/{tag}": open_clip.get_pretrained_cfg(model, tag)["hf_hub"] for model, tag in open_clip.list_pretrained()}
    assert open_clip_names.repositories() == {name: "/".join(place.split("/")[:2]) for name, place in theirs.items()}


def test_the_weights_may_be_in_several_files(monkeypatch):
    shards = {f"model-0000{i}-of-00002.safetensors": 500 for i in (1, 2)}
    monkeypatch.setattr(FakeApi, "files", {"config.json": 10, "model.safetensors.index.json": 7, "notes.txt": 1} | shards)
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    assert hub.look_up("org/model").files == {"config.json": 10, "model.safetensors.index.json": 7} | shards


def test_a_licence_to_accept_first_is_said(monkeypatch):
    def refuse(*arguments, **options):
        raise huggingface_hub.errors.GatedRepoError("403", response=SimpleNamespace(headers={}, request=None))

    monkeypatch.setattr(FakeApi, "model_info", refuse)
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    with pytest.raises(UnknownSpace, match="accept its licence at https://huggingface.co/org/model.*HF_TOKEN"):
        hub.look_up("org/model")


def test_without_a_network_what_is_cached_is_found(monkeypatch, tmp_path):
    def refuse(*arguments, **options):
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(FakeApi, "model_info", refuse)
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    with pytest.raises(Offline, match="no network"):
        hub.look_up("org/model")
    snapshot = tmp_path / "models--org--model" / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--org--model" / "refs").mkdir()
    (tmp_path / "models--org--model" / "refs" / "main").write_text("c0ffee")
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors").write_bytes(b"12345")
    found = hub.look_up("org/model")
    assert found.files == {"config.json": 2, "model.safetensors": 5} and found.revision == "c0ffee" and hub.is_cached(found)


def test_a_model_that_was_downloaded_by_its_commit_is_found_by_its_name(monkeypatch, tmp_path):
    """As `download` does it: the client then notes no branch."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    snapshots = tmp_path / "models--org--model" / "snapshots"
    for age, commit in enumerate(("new", "old")):
        (snapshots / commit).mkdir(parents=True)
        (snapshots / commit / "config.json").write_text("{}")
        os.utime(snapshots / commit, (1e9 - age, 1e9 - age))
    assert hub.cached_folder("org/model").name == "new" and hub.cached_folder("org/model", "old").name == "old"
    assert hub.cached_folder("org/other") is None and hub.cached_folder("org/model", "v9") is None


def test_what_was_downloaded_before_is_not_asked_for_again(monkeypatch, tmp_path):
    """Only the files that are needed are downloaded: the client calls such a repository incomplete."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "download", lambda source: tmp_path / "models--org--model" / "snapshots" / source.revision)
    monkeypatch.setattr(typer, "confirm", lambda *question, **options: False)
    source = hub.Remote("org/model", "c0ffee", {"config.json": 2, "unet/model.safetensors": 5})
    with pytest.raises(typer.Exit):
        console.download_from_hub(source, yes=False)
    for file in source.files:
        (tmp_path / "models--org--model" / "snapshots" / "c0ffee" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "models--org--model" / "snapshots" / "c0ffee" / file).write_bytes(b"{}")
    assert console.download_from_hub(source, yes=False).name == "c0ffee"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('{"model_type": "clap"}', "add-audio --clap org/model"),
        ('{"model_type": "qwen2_5_vl"}', "ollama:MODEL"),
        ('{"model_type": "clip_text_model"}', "text tower alone"),
        ('{"model_type": "brand_new"}', "brand_new.*choose a CLIP"),
        ("{}", "without model_type"),
        ("[]", "not a JSON object"),
    ],
)
def test_what_a_model_is_is_known_before_its_weights_are_downloaded(tmp_path, config, says):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(UnknownSpace, match=says):
        families.check(tmp_path, "org/model")


class FakeApi:
    """A hub with one model."""

    files = {
        "config.json": 10,
        "model.safetensors": 1000,
        "pytorch_model.bin": 1001,
        "flax_model.msgpack": 999,
        "tokenizer.json": 5,
    }

    def model_info(self, repo, revision=None, files_metadata=False):
        if repo != "org/model":
            raise huggingface_hub.errors.RepositoryNotFoundError("404", response=SimpleNamespace(headers={}, request=None))
        siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in self.files.items()]
        return SimpleNamespace(siblings=siblings, sha="c0ffee")


def test_only_what_is_needed_is_downloaded_at_a_pinned_commit(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    source = hub.look_up("org/model")
    assert source == hub.Remote("org/model", "c0ffee", {"config.json": 10, "tokenizer.json": 5, "model.safetensors": 1000})
    assert source.size == 1015


SENTENCES = '[{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"}]'


def test_a_text_model_alone_is_known_before_its_weights_are_downloaded(tmp_path):
    (tmp_path / "modules.json").write_text(SENTENCES)
    with pytest.raises(UnknownSpace, match="--joins"):
        families.check(tmp_path, "org/words")
    families.check(tmp_path, "org/words", joins="openai/clip-vit-base-patch32")
    (tmp_path / "modules.json").write_text("{")
    with pytest.raises(UnknownSpace, match="cannot be read"):
        families.check(tmp_path, "org/words")


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (["modules.json", "0_CLIPModel/config.json", "0_CLIPModel/pytorch_model.bin", "0_CLIPModel/model.safetensors", "x.onnx"],
         ["0_CLIPModel/config.json", "modules.json", "0_CLIPModel/model.safetensors"]),
        (["modules.json", "config.json", "model.safetensors", "2_Dense/config.json", "2_Dense/pytorch_model.bin", "1_Pooling/config.json"],
         ["1_Pooling/config.json", "2_Dense/config.json", "config.json", "modules.json", "model.safetensors", "2_Dense/pytorch_model.bin"]),
        (["adapter_config.json", "adapter_model.safetensors", "optimizer.pt"], ["adapter_config.json", "adapter_model.safetensors"]),
        (["config.json", "onnx/vision_model.onnx", "onnx/text_model.onnx", "onnx/model.onnx", "onnx/vision_model_int8.onnx"],
         ["config.json", "onnx/text_model.onnx", "onnx/vision_model.onnx"]),
        (["config.json", "visual/model.onnx", "visual/model.onnx.data", "visual/preprocess_cfg.json", "textual/model.onnx", "visual/a.armnn"],
         ["config.json", "textual/model.onnx", "visual/model.onnx", "visual/model.onnx.data", "visual/preprocess_cfg.json"]),
    ],
)  # fmt: skip
def test_what_is_needed_of_a_repository(files, wanted):
    assert hub.needed(set(files), "org/model") == wanted


def test_unknown_repositories_and_repositories_without_weights(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    with pytest.raises(UnknownSpace, match="no public model"):
        hub.look_up("org/typo")
    monkeypatch.setattr(FakeApi, "files", {"README.md": 3})
    with pytest.raises(UnknownSpace, match="holds none of"):
        hub.look_up("org/model")


def test_offline_says_what_to_do(monkeypatch):
    """No network, by whichever error the client reports it."""

    def refuse(*arguments, **options):
        raise ConnectionError("Name or service not known\nand more")

    monkeypatch.setattr(FakeApi, "model_info", refuse)
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    for act in (lambda: hub.look_up("org/model"), lambda: hub.download(hub.Remote("org/model", "c0ffee", {"config.json": 1}))):
        with pytest.raises(Offline, match="Name or service not known.*folder that you have"):
            act()


def test_spaces_are_found_by_name_and_by_folder(tiny_space_folder, own_home):
    assert registry.find(tiny_space_folder) == tiny_space_folder
    target = registry.SPACES.folder_for("org/na me:x")
    assert target.parent == own_home / "spaces" and "/" not in target.name
    target.parent.mkdir()
    target.symlink_to(tiny_space_folder)
    assert registry.load("tiny").handle == "tiny"
    assert registry.load(str(tiny_space_folder)).handle == str(tiny_space_folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "spaces list"),
        ("openai/clip-vit-base-patch32", "spaces pull"),
        ("/no/such/folder", "spaces list"),
        (".", "spaces pull"),
    ],
)
def test_what_is_not_installed_is_named_with_the_remedy(name, message):
    with pytest.raises(UnknownSpace, match=message):
        registry.find(name)


def test_converting_without_torch_says_what_to_install(tiny_clip_folder, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    for module in ("conversion", "export"):
        monkeypatch.delitem(sys.modules, f"samespace.spaces.convert.{module}", raising=False)
        monkeypatch.delattr(f"samespace.spaces.convert.{module}", raising=False)
    with pytest.raises(MissingExtra, match=r"samespace\[convert\]"):
        install.convert(tiny_clip_folder, tmp_path / "out")


def test_a_damaged_space_is_named(tiny_space_folder, tmp_path):
    import shutil

    from samespace.cli.doctor import damaged_files

    shutil.copytree(tiny_space_folder, tmp_path / "space")
    assert damaged_files(tmp_path / "space") == ""
    with open(tmp_path / "space" / "model.safetensors", "r+b") as file:
        file.seek(2000)
        file.write(b"\xff\xff")
    assert "model.safetensors" in damaged_files(tmp_path / "space")


@pytest.mark.parametrize("name", ["", ".", "..", "starter"])
def test_no_space_takes_a_name_that_means_something_else(tiny_clip_folder, name):
    with pytest.raises(UnknownSpace, match="there already"):
        install.install(tiny_clip_folder, name, "here")


def test_a_name_is_not_taken_over_by_another_origin(tiny_clip_folder, traced_once, monkeypatch):
    monkeypatch.setattr(install, "convert", partial(install.convert, precision="fp32"))
    install.install(tiny_clip_folder, "mine", "here")
    install.install(tiny_clip_folder, "mine", "here")
    with pytest.raises(UnknownSpace, match="there already"):
        install.install(tiny_clip_folder, "mine", "elsewhere")


@pytest.mark.parametrize("text", ["[]", "{", '{"format": 99}', '{"format": 1, "name": 5}', '{"format": 1, "colour": 5}'])
def test_one_damaged_space_does_not_stop_the_others(own_home, text):
    folder = own_home / "spaces" / "damaged"
    folder.mkdir(parents=True)
    (folder / "space.json").write_text(text)
    assert "starter" in registry.SPACES.installed()
    with pytest.raises(UnknownSpace):
        registry.load(str(folder))


def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub():
    for name in ("./nofolder", "/no/folder", "~/no/folder"):
        with pytest.raises(UnknownSpace, match="there is no folder"):
            hub.look_up(name)


def test_where_nobody_can_be_asked_it_says_how_to_agree(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(typer.Exit):
        console.confirm_download(10**6, "a model", yes=False)
    assert "add --yes" in capsys.readouterr().err
