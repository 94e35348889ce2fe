"""Sources on object storage: a table, its pictures and a tar, from a local S3 server (moto)."""

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")


def test_pairs_are_read_from_a_bucket(bucket, table, tmp_path):
    import tarfile

    from samespace.train.config import Source
    from samespace.train.sources import open_source

    for file in tmp_path.iterdir():
        bucket.upload_file(str(file), "pictures", f"colours/{file.name}")
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        (tmp_path / "a.txt").write_text("a red square")
        tar.add(tmp_path / "red 0.png", "a.png")
        tar.add(tmp_path / "a.txt", "a.txt")
    bucket.upload_file(str(tmp_path / "00000.tar"), "pictures", "shards/00000.tar")
    items = list(open_source(Source("s3://pictures/colours/pairs.tsv")).in_order())
    assert len(items) == 40 and items[0].load()[0] == (tmp_path / "red 0.png").read_bytes()
    (item,) = open_source(Source("s3://pictures/shards/{00000..00000}.tar")).in_order()
    assert item.load() == ((tmp_path / "red 0.png").read_bytes(), ("a red square",))
