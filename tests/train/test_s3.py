"""Pairs on object storage: a local S3 server (moto) serves a table, its pictures and a tar."""

import socket

import pytest

moto = pytest.importorskip("moto.server")
boto3 = pytest.importorskip("boto3")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def bucket(monkeypatch):
    """An empty bucket; fsspec and boto3 find its server by the usual variables."""
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
    client = boto3.client("s3")
    client.create_bucket(Bucket="pictures")
    yield client
    server.stop()


def test_pairs_are_read_from_a_bucket(bucket, table, tmp_path):
    import tarfile

    from samespace.train.card import Source
    from samespace.train.sources import open_source

    for file in tmp_path.iterdir():
        bucket.upload_file(str(file), "pictures", f"colours/{file.name}")
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        (tmp_path / "a.txt").write_text("a red square")
        tar.add(tmp_path / "red 0.png", "a.png")
        tar.add(tmp_path / "a.txt", "a.txt")
    bucket.upload_file(str(tmp_path / "00000.tar"), "pictures", "shards/00000.tar")
    items = list(open_source(Source("s3://pictures/colours/pairs.tsv")).plain())
    assert len(items) == 40 and items[0].load()[0] == (tmp_path / "red 0.png").read_bytes()
    (item,) = open_source(Source("s3://pictures/shards/{00000..00000}.tar")).plain()
    assert item.load() == ((tmp_path / "red 0.png").read_bytes(), ("a red square",))
