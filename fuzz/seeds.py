"""Inputs that are right, from which others are made."""

import io
import json
import tarfile

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from samespace.core.config import to_json
from samespace.spaces import registry
from samespace.spaces.space import read_space_config


def picture(kind: str = "JPEG") -> bytes:
    """Return a small picture with a title, a time and a place."""
    exif = Image.Exif()
    exif[0x010E], exif[0x0132] = "A title", "2019:06:07 08:09:10"
    exif.get_ifd(0x8825).update({1: "N", 2: (45.0, 4.0, 12.0), 3: "E", 4: (7.0, 41.0, 0.0)})
    out = io.BytesIO()
    Image.fromarray(np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3)).save(out, kind, exif=exif)
    return out.getvalue()


def tar() -> bytes:
    """Return a shard of one pair."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in (("1.jpg", picture()), ("1.txt", b"a title")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def pickled() -> bytes:
    """Return weights as torch writes them."""
    out = io.BytesIO()
    torch.save({"a.weight": torch.zeros(2, 3)}, out)
    return out.getvalue()


def seeds() -> dict[str, list[bytes]]:
    """Return some inputs of each target."""
    clip = {
        "model_type": "clip",
        "projection_dim": 64,
        "text_config": {"hidden_size": 64},
        "vision_config": {"hidden_size": 64, "patch_size": 32},
    }
    open_clip = {
        "model_cfg": {"embed_dim": 64, "vision_cfg": {"layers": 2, "width": 64, "patch_size": 32}, "text_cfg": {"width": 64}}
    }
    talk = {
        "id": "1",
        "image": "1.jpg",
        "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}],
    }
    chat = {
        "model": "x",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:,"}}]}
        ],
    }
    xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmp:Rating="4"/></rdf:RDF></x:xmpmeta>'
    queries = [
        "2:dog + snow - night",
        'place:rome (year:2019 OR -kind:video) album:"Summer" rating:>=4 near:45.07,7.68,5km',
        "date:2019-06..2019-08 has:text",
    ]
    config = registry.find("starter")
    return {
        "query": [q.encode() for q in queries],
        "run_config": [b'name = "x"\nsteps = 10\ntrain = ["a.tsv"]\n[image]\nwidth = 64\n'],
        "space_json": [to_json(read_space_config(config)).encode()],
        "tensors": [save({"a": torch.zeros(2, 3), "b": torch.ones(1, dtype=torch.int8)})],
        "pickle": [pickled()],
        "checkpoint": [json.dumps(clip).encode(), json.dumps(open_clip).encode()],
        "gguf": [b"GGUF\x03\x00\x00\x00" + (0).to_bytes(8, "little") + (1).to_bytes(8, "little") + (20).to_bytes(8, "little") + b"general.architecture" + (8).to_bytes(4, "little") + (5).to_bytes(8, "little") + b"llama"],
        "table": [b"filepath\ttitle\n1.jpg\ta cat\n", b'filepath,title\n1.jpg,"a, cat"\n', b'{"filepath": "1.jpg", "title": "a cat"}\n'],
        "shards": [tar()],
        "conversations": [json.dumps([talk]).encode(), b'{"parts": ["a cat", {"picture": "1.jpg"}]}'],
        "sidecars": [b'{"title": "x", "photoTakenTime": {"timestamp": "1559894950"}, "geoData": {"latitude": 45.0, "longitude": 7.0}}', xmp.encode()],
        "metadata": [picture(), picture("PNG"), picture("WEBP")],
        "texts": [b"caf\xe9", "café".encode("utf-16"), b"<html><meta charset=utf-8><p>x</p><script>y</script>", b"Subject: x\nContent-Type: text/plain\n\nbody"],
        "subtitles": [b"1\n00:00:01,000 --> 00:00:02,000\nhello\n", b"WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n"],
        "task": [b'Type "Ada" into Name, select A, B and C from the list, then press the 2nd button'],
        "replay": [b"<script type='application/json' id='samespace-replay'>{\"task\": \"x\", \"address\": \"y\", \"actions\": [{\"action\": \"click\", \"x\": 1, \"y\": 2}]}</script>", b'{"action": "drag", "path": [[1, 2], [3, 4]]}'],
        "request": [json.dumps(chat).encode(), b'{"input": ["a", {"image": "data:,"}], "model": "x"}', b'{"query": "dog", "documents": ["a"]}'],
        "picture_in_request": [b"data:image/png;base64,iVBORw0KGgo="],
    }  # fmt: skip
