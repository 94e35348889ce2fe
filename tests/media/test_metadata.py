"""What files say about themselves: every source there is, their order, and what is broken or impossible."""

import io
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from samespace.media.metadata.description import MAX_WORDS, Description, describe, joined
from samespace.media.metadata.names import dated
from samespace.media.metadata.times import when_of

PLAIN = Image.new("RGB", (20, 20))
XMP = """<?xpacket begin='\ufeff'?><x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
<rdf:Description xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:xmp='http://ns.adobe.com/xap/1.0/'
 xmlns:exif='http://ns.adobe.com/exif/1.0/' xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/'
 xmlns:ext='http://iptc.org/std/Iptc4xmpExt/2008-02-29/' xmlns:lr='http://ns.adobe.com/lightroom/1.0/'
 xmlns:mwg='http://www.metadataworkinggroup.com/schemas/regions/'
 xmp:Rating='4' exif:GPSLatitude='45,4.2N' exif:GPSLongitude='7,41,12W' exif:DateTimeOriginal='2010-05-06T07:08:09+02:00'>
 <dc:title><rdf:Alt><rdf:li xml:lang='x-default'>The mole</rdf:li></rdf:Alt></dc:title>
 <dc:subject><rdf:Bag><rdf:li>tower</rdf:li><rdf:li>città</rdf:li></rdf:Bag></dc:subject>
 <lr:hierarchicalSubject><rdf:Bag><rdf:li>People|Zoë</rdf:li></rdf:Bag></lr:hierarchicalSubject>
 <ext:PersonInImage><rdf:Bag><rdf:li>Anna Rossi</rdf:li></rdf:Bag></ext:PersonInImage>
 <mwg:Regions><rdf:Description><mwg:RegionList><rdf:Bag><rdf:li><rdf:Description mwg:Name='Bella' mwg:Type='Pet'/></rdf:li></rdf:Bag></mwg:RegionList></rdf:Description></mwg:Regions>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def saved(folder: Path, name: str, **options) -> Path:
    PLAIN.save(folder / name, **options)
    return folder / name


def with_exif(folder: Path, name: str = "a.jpg", tags=None, detail=None, gps=None) -> Path:
    exif = Image.Exif()
    exif.update(tags or {})
    exif.get_ifd(0x8769).update(detail or {})
    exif.get_ifd(0x8825).update(gps or {})
    return saved(folder, name, exif=exif)


def iptc(**records) -> bytes:
    """Photoshop's block of IPTC-IIM records, given as n120="…", for Pillow to write into a JPEG as APP13."""
    body = b"".join(
        b"\x1c\x02" + bytes([int(key[1:])]) + len(value.encode()).to_bytes(2, "big") + value.encode()
        for key, value in records.items()
    )
    block = b"8BIM\x04\x04\0\0" + len(body).to_bytes(4, "big") + body + b"\0" * (len(body) % 2)
    return b"Photoshop 3.0\0" + block


def test_exif(tmp_path):
    path = with_exif(
        tmp_path,
        tags={0x010E: "Uncle Ferdinand with his trombone", 0x010F: "FUJIFILM", 0x0110: "X100V", 0x4746: 5, 0x9C9E: "Iceland;fjörd".encode("utf-16-le")},
        detail={0x9003: "2021:07:04 12:30:00", 0x9011: "+02:00", 0xA434: "23mm f/2"},
        gps={1: "S", 2: (33.0, 51.0, 36.0), 3: "E", 4: (151.0, 12.0, 0.0)},
    )  # fmt: skip
    found = describe(path, "image")
    assert found == describe(path, "image", path.read_bytes())
    assert found.taken_at == datetime(2021, 7, 4, 10, 30, tzinfo=UTC)
    assert (found.lat, found.lon) == (pytest.approx(-33.86), pytest.approx(151.2))
    assert found.caption == "Uncle Ferdinand with his trombone" and found.keywords == ("Iceland", "fjörd")
    assert found.camera == "FUJIFILM X100V 23mm f/2" and found.rating == 5


@pytest.mark.parametrize(
    ("tags", "detail", "want"),
    [
        ({}, {0x9004: "2003:05:01 10:00:00"}, 2003),
        ({0x0132: "2011:07:19 11:36:39"}, {0x9003: "0000:00:00 00:00:00"}, 2011),
        ({0x0132: "2021:07:04 12:30:00"}, {0x9003: "2019:07:04 12:30:00", 0x9004: "2020:07:04 12:30:00"}, 2019),
        ({0x0132: "yesterday"}, {}, None),
        ({0x0132: "2021:13:45 99:99:99"}, {}, None),
        ({}, {0x9003: "0001:01:01 00:00:00", 0x9011: "+01:00"}, None),
        ({}, {0x9003: "1904:01:01 00:00:00", 0x9011: "+00:00"}, None),
        ({}, {0x9003: "2106:02:07 06:28:15"}, None),
    ],
)  # fmt: skip
def test_the_first_possible_date_counts(tmp_path, tags, detail, want):
    found = describe(with_exif(tmp_path, tags=tags, detail=detail), "image").taken_at
    assert (found and found.year) == want


def test_a_date_without_a_zone_is_local_time(tmp_path):
    found = describe(with_exif(tmp_path, tags={0x0132: "2021:07:04 12:30:00"}), "image").taken_at
    assert found == datetime(2021, 7, 4, 12, 30).astimezone() and found.tzinfo == UTC


@pytest.mark.parametrize(
    "lat, lon",
    [((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)), ((95.0, 0.0, 0.0), (7.0, 0.0, 0.0)), ((45.0, 0.0, 0.0), (181.0, 0.0, 0.0))],
)
def test_impossible_places_are_none(tmp_path, lat, lon):
    found = describe(with_exif(tmp_path, gps={1: "N", 2: lat, 3: "E", 4: lon}), "image")
    assert found.lat is None and found.lon is None


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.png", "a.tif"])
def test_xmp_in_pictures(tmp_path, name):
    options = {"xmp": XMP.encode()}
    if name == "a.png":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP)
        options = {"pnginfo": info}
    if name == "a.tif":
        options = {"tiffinfo": {700: XMP.encode()}}
    found = describe(saved(tmp_path, name, **options), "image")
    assert found.taken_at == datetime(2010, 5, 6, 5, 8, 9, tzinfo=UTC)
    assert (found.lat, found.lon) == (pytest.approx(45.07), pytest.approx(-(7 + 41 / 60 + 12 / 3600)))
    assert found.caption == "The mole" and found.keywords == ("tower", "città", "People", "Zoë")
    assert found.people == ("Anna Rossi", "Bella", "Zoë") and found.rating == 4


@pytest.mark.parametrize("beside", ["a.jpg.xmp", "a.xmp", "a.jpg.XMP"])
def test_an_xmp_file_beside_a_picture_comes_first(tmp_path, beside):
    path = with_exif(tmp_path, detail={0x9003: "2021:07:04 12:30:00"}, tags={0x010E: "from the camera"})
    (tmp_path / beside).write_text(XMP, "utf-8")
    found = describe(path, "image")
    assert found.taken_at.year == 2010 and found.caption == "The mole\nfrom the camera"


def test_iptc_in_a_jpeg(tmp_path):
    path = saved(tmp_path, "a.jpg")
    block = iptc(n05="Harbour", n25="Wolverhampton", n55="20150304", n60="101500+0100", n120="Ferdinand's trombone")
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block + data[2:])
    found = describe(path, "image")
    assert found.caption == "Harbour\nFerdinand's trombone" and found.keywords == ("Wolverhampton",)
    assert found.taken_at == datetime(2015, 3, 4, 9, 15, tzinfo=UTC)


def test_texts_of_a_png(tmp_path):
    info = PngInfo()
    info.add_text("Creation Time", "2017:02:03 04:05:06")
    info.add_text("Description", "a plan of the house")
    found = describe(saved(tmp_path, "a.png", pnginfo=info), "image")
    assert found.taken_at == datetime(2017, 2, 3, 4, 5, 6).astimezone() and found.caption == "a plan of the house"


def test_the_prompt_of_a_drawn_picture_is_its_caption_without_the_settings(tmp_path):
    info = PngInfo()
    info.add_text("parameters", "a lighthouse at dawn,\noil on canvas\nNegative prompt: fog\nSteps: 20, Sampler: Euler a")
    assert describe(saved(tmp_path, "a.png", pnginfo=info), "image").caption == "a lighthouse at dawn,\noil on canvas"


def test_what_a_program_wrote_into_a_png_is_no_caption(tmp_path):
    info = PngInfo()
    info.add_text("Comment", "File written by Adobe Photoshop? 5.0")
    assert describe(saved(tmp_path, "a.png", pnginfo=info), "image").caption == ""


def test_raw_files_that_are_no_tiff_say_when_in_their_preview(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0132], exif[0x0110] = "2020:05:06 07:08:09", "EOS R5"
    exif.get_ifd(0x8769)[0x9003] = "2020:05:06 07:08:09"
    preview = saved(tmp_path, "preview.jpg", exif=exif).read_bytes()
    raw = tmp_path / "a.cr3"
    raw.write_bytes(b"\0\0\0\x18ftypcrx " + bytes(600))
    assert describe(raw, "image").camera == ""
    monkeypatch.setattr("samespace.media.metadata.picture.preview_of", lambda data: preview)
    found = describe(raw, "image")
    assert found.taken_at == datetime(2020, 5, 6, 7, 8, 9).astimezone() and found.camera == "EOS R5"


@pytest.mark.parametrize(
    "date, when",
    [
        ("Fri, 5 Jul 2019 10:15:00 +0200", datetime(2019, 7, 5, 8, 15, tzinfo=UTC)),
        ("Fri, 5 Jul 2019 08:15 GMT", datetime(2019, 7, 5, 8, 15, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_mail_is_of_the_day_it_was_sent(tmp_path, date, when):
    mail = tmp_path / "a.eml"
    mail.write_text(f"From: a@example.org\nDate: {date}\nSubject: Harbour\n\nHello", "utf-8")
    assert describe(mail, "document").taken_at == when


TAKEOUT = {
    "title": "IMG_1.jpg", "description": "Zoë's birthday", "photoTakenTime": {"timestamp": "1468915200"}, "favorited": True,
    "geoData": {"latitude": 0.0, "longitude": 0.0}, "geoDataExif": {"latitude": 41.9, "longitude": 12.5}, "people": [{"name": "Zoë"}],
}  # fmt: skip
LONG = "a name that is much longer than Google Takeout leaves it.jpg"


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("IMG_1.jpg", "IMG_1.jpg.json"),
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1(2).jpg", "IMG_1.jpg(2).json"),
        ("IMG_1(2).jpg", "IMG_1.jpg.supplemental-metadata(2).json"),
        ("IMG_1-edited(1).jpg", "IMG_1.jpg(1).json"),
        ("PXL_20230101_123456789(1).jpg", "PXL_20230101_123456789.jpg.supplemental-metada(1).json"),
        (LONG, f"{LONG[:46]}.json"),
        ("IMG_20190101_the_picnic_at_lake.jpg", "IMG_20190101_the_picnic_at_lake.jpg.supplement.json"),
    ],
)
def test_google_takeouts_files(tmp_path, name, beside):
    path = saved(tmp_path, name)
    (tmp_path / beside).write_text(json.dumps(TAKEOUT), "utf-8")
    found = describe(path, "image")
    assert found.taken_at == datetime(2016, 7, 19, 8, tzinfo=UTC) and (found.lat, found.lon) == (41.9, 12.5)
    assert found.caption == "Zoë's birthday" and found.people == ("Zoë",) and found.keywords == ("favorite",)


def test_when_a_file_was_changed_is_asked_last(tmp_path):
    path = with_exif(tmp_path, "IMG_20161224_101500.jpg", tags={0x0132: "2023:01:02 03:04:05"})
    assert describe(path, "image").taken_at.year == 2016
    (tmp_path / f"{path.name}.json").write_text(json.dumps(TAKEOUT | {"photoTakenTime": {"timestamp": "1009900800"}}), "utf-8")
    assert describe(path, "image").taken_at.year == 2002
    assert describe(with_exif(tmp_path, tags={0x0132: "2023:01:02 03:04:05"}), "image").taken_at.year == 2023
    info = PngInfo()
    info.add_text("date:create", "2023-05-06T07:08:09+00:00")
    assert describe(saved(tmp_path, "Screenshot_20190704-101500.png", pnginfo=info), "image").taken_at.year == 2019
    assert describe(saved(tmp_path, "a.png", pnginfo=info), "image").taken_at.year == 2023


def test_a_zone_that_another_source_names_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        path = with_exif(tmp_path, detail={0x9003: "2019:07:04 12:30:00", 0x9011: "+09:00"})
        written = "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description xmlns:exif='http://ns.adobe.com/exif/1.0/' exif:DateTimeOriginal='{}'/></rdf:RDF>"
        for text, want in (
            ("2019-07-04T12:30:00.25", (3, 30)),
            ("2019-07-04T11:30:00", (9, 30)),
            ("2019-07-04T12:30:00+01:00", (11, 30)),
        ):
            (tmp_path / "a.xmp").write_text(written.format(text))
            taken = describe(path, "image").taken_at
            assert (taken.hour, taken.minute) == want, text
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_cameras_own_date_comes_before_takeouts(tmp_path):
    path = with_exif(tmp_path, detail={0x9003: "2021:07:04 12:30:00"})
    (tmp_path / "a.jpg.json").write_text(json.dumps(TAKEOUT), "utf-8")
    assert describe(path, "image").taken_at.year == 2021


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("IMG_20161224_101500.jpg", datetime(2016, 12, 24, 10, 15)),
        ("IMG-20161224-WA0014.jpg", datetime(2016, 12, 24, 12)),
        ("2016-12-24 10.15.30.png", datetime(2016, 12, 24, 10, 15, 30)),
        ("WhatsApp Image 2016-12-24 at 10.15.30.jpeg", datetime(2016, 12, 24, 10, 15, 30)),
        ("PXL_20210704_103000123.jpg", datetime(2021, 7, 4, 10, 30, tzinfo=UTC)),
        ("Screenshot_2020-02-29-10-11-12.png", datetime(2020, 2, 29, 10, 11, 12)),
        ("20160230.jpg", None),
        ("1234567890.jpg", None),
        ("part 20161399.jpg", None),
        ("DSC_2016.jpg", None),
    ],
)
def test_dates_in_names(tmp_path, name, want):
    assert describe(saved(tmp_path, name), "image").taken_at == (want and want.astimezone(UTC))


def film(path: Path, **tags: str) -> Path:
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"} if path.suffix in (".mp4", ".mov") else {}) as out:
        out.metadata.update(tags)
        stream = out.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(3):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        out.mux(stream.encode(None))
    return path


def test_tags_of_videos(tmp_path):
    tags = {
        "creation_time": "2012-11-02T09:09:26.000000Z", "com.apple.quicktime.creationdate": "2012-11-02T10:09:26+0100",
        "com.apple.quicktime.location.ISO6709": "+45.0703+007.6869+239.0/", "com.apple.quicktime.make": "Apple", "com.apple.quicktime.model": "iPhone 5",
    }  # fmt: skip
    found = describe(film(tmp_path / "a.mov", title="Boat trip", **tags), "video")
    assert found.taken_at == datetime(2012, 11, 2, 9, 9, 26, tzinfo=UTC)
    assert (found.lat, found.lon) == (45.0703, 7.6869)
    assert found.caption == "Boat trip" and found.camera == "Apple iPhone 5"


def test_a_video_without_a_clock_has_no_time(tmp_path):
    assert describe(film(tmp_path / "a.mp4", creation_time="1904-01-01T00:00:00.000000Z"), "video").taken_at is None


def test_the_year_of_music_is_not_when_it_was_taken(tmp_path):
    with av.open(str(tmp_path / "a.mp3"), "w") as out:
        out.metadata.update(title="Bohemian Rhapsody", artist="Queen", date="1975-10-31")
        stream = out.add_stream("mp3", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    found = describe(tmp_path / "a.mp3", "audio")
    assert found.caption == "Bohemian Rhapsody\nQueen" and found.taken_at is None


BOMB = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]><x>&b;</x>"


@pytest.mark.parametrize(
    ("beside", "content", "reason"),
    [
        ("a.jpg.xmp", b"<x", "XMP"),
        ("a.jpg.xmp", BOMB.encode(), "XMP"),
        ("a.jpg.xmp", b"", "XMP"),
        ("a.jpg.xmp", b'<?xml version="1.0" encoding="unicode"?><x/>', "XMP"),
        ("a.jpg.json", b'{"photoTakenTime": {}, "people": 5}', "JSON"),
        ("a.jpg.xmp", bytes(9_000_000), "too large"),
        ("a.jpg.json", b"{", "JSON"),
        ("a.jpg.json", b"[" * 100_000, "JSON"),
        ("a.jpg.json", bytes(5_000_000), "too large"),
    ],
)
def test_broken_files_beside_a_picture_are_named(tmp_path, beside, content, reason):
    path = with_exif(tmp_path, tags={0x010E: "mine"})
    (tmp_path / beside).write_bytes(content)
    found = describe(path, "image")
    ((where, why),) = found.problems
    assert found.caption == "mine" and where == str(tmp_path / beside) and reason in why


def test_names_as_long_as_any_can_be_have_nothing_beside_them(tmp_path):
    path = saved(tmp_path, "x" * 251 + ".jpg")
    assert describe(path, "image").problems == ()


@pytest.mark.parametrize("content", [b"[1]", b'{"title": "a manifest"}', b'{"photoTakenTime": 3, "people": [1], "geoData": "x"}'])
def test_json_that_is_something_else_says_nothing(tmp_path, content):
    path = saved(tmp_path, "a.jpg")
    (tmp_path / "a.jpg.json").write_bytes(content)
    assert describe(path, "image") == Description()


def test_corrupt_headers_never_raise(tmp_path):
    path = with_exif(
        tmp_path,
        tags={0x010E: "mine", 0x4746: 3},
        detail={0x9003: "2021:07:04 12:30:00"},
        gps={1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (1.0, 2.0, 3.0)},
    )
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        broken = bytearray(data)
        for position in rng.integers(2, min(len(data), 400), 8):
            broken[position] = rng.integers(256)
        assert isinstance(describe(path, "image", bytes(broken)), Description)
    assert describe(tmp_path / "none.jpg", "image") == Description()


def test_many_keywords_are_cut_and_control_characters_go(tmp_path):
    words = "".join(f"<rdf:li>word {i}</rdf:li>" for i in range(60_000))
    (tmp_path / "a.xmp").write_text(XMP.replace("<rdf:li>tower</rdf:li>", words), "utf-8")
    assert len(describe(saved(tmp_path, "a.jpg"), "image").keywords) == MAX_WORDS
    info = PngInfo()
    info.add_text("Title", "two\nlines\tand \x1b[31m a bell\x07")
    assert describe(saved(tmp_path, "b.png", pnginfo=info), "image").caption == "two lines and [31m a bell"


def test_words_of_several_sources_add_up():
    one, two = (
        Description(caption="a", keywords=("x",), rating=2),
        Description(caption="b\na", keywords=("x", "y"), rating=5, lat=1.0, lon=2.0),
    )
    assert joined([one, two]) == Description(caption="a\nb", keywords=("x", "y"), rating=2, lat=1.0, lon=2.0)


def test_a_heic_picture_says_when(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2018:07:04 12:30:00"
    out = io.BytesIO()
    pillow_heif.from_pillow(PLAIN.resize((64, 64))).save(out, exif=exif.tobytes())
    path = tmp_path / "a.heic"
    path.write_bytes(out.getvalue())
    assert describe(path, "image").taken_at.year == 2018


@pytest.mark.parametrize(
    "text",
    [
        "2019-07-04 12:30:00", "2019/07/04 12:30:00", "2019-07-04T12:30:00+02:00", "2019:07:04", "2019:07:04 12:30", "2019:07:04 12:30:00.50",
        "2019: 7: 4  9:05:07", "2019:07:04 24:10:00", "20190704", "2019.07.04 12.30",
    ],
)  # fmt: skip
def test_dates_as_programs_really_write_them(tmp_path, text):
    found = describe(with_exif(tmp_path, detail={0x9003: text}), "image").taken_at
    assert found is not None and found.astimezone().date().isoformat() == "2019-07-04"


@pytest.mark.parametrize("text", ["1965:00:00 00:00:00", "1965:06:  :  :  :  ", "1965", "1965-06", "19650000"])
def test_dates_of_which_only_the_year_is_known(tmp_path, text):
    assert when_of(text).astimezone().year == 1965
    path = saved(tmp_path, "scan.tif")
    packet = XMP.replace("exif:DateTimeOriginal='2010-05-06T07:08:09+02:00'", f"photoshop:DateCreated='{text}'")
    (tmp_path / "scan.tif.xmp").write_text(packet)
    assert describe(path, "image").taken_at.astimezone().year == 1965


@pytest.mark.parametrize(
    "text", ["0000:00:00 00:00:00", "    :  :     :  :  ", "", "yesterday", "2019:13:04 12:00:00", "2019:02:31"]
)
def test_what_is_no_date_is_none(text):
    assert when_of(text) is None


def test_a_sidecar_with_colons_in_its_date(tmp_path):
    path = saved(tmp_path, "a.tif")
    (tmp_path / "a.tif.xmp").write_text(XMP.replace("2010-05-06T07:08:09+02:00", "2017:10:23 12:34:56.123"))
    assert describe(path, "image").taken_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") == "2017-10-23 12:34:56"


@pytest.mark.parametrize(
    "gps, want",
    [
        ({1: "N", 2: 45.07, 3: "E", 4: 7.68}, (45.07, 7.68)), ({1: "s", 2: (33.0, 0.0, 0.0), 3: "west", 4: (7.0, 30.0, 0.0)}, (-33.0, -7.5)),
        ({1: "N", 2: (45.0,), 3: "E", 4: (7.0, 30.0)}, (45.0, 7.5)), ({2: 45.07, 4: 7.68}, (None, None)), ({1: "X", 2: 45.0, 3: "E", 4: 7.0}, (None, None)),
    ],
)  # fmt: skip
def test_odd_places_are_read_or_left_out_and_the_rest_stays(gps, want):
    from samespace.media.metadata.picture import _coordinates

    assert _coordinates(gps) == (
        want[0] if want[0] is None else pytest.approx(want[0]),
        want[1] if want[1] is None else pytest.approx(want[1]),
    )


@pytest.mark.parametrize("value", [(b"broken", 1), "no number", ((1, 0), (2, 0), (3, 0))])
def test_a_broken_place_hides_no_caption(value):
    from samespace.media.metadata.picture import _coordinates

    assert _coordinates({1: "N", 2: value, 3: "E", 4: value}) == (None, None)


@pytest.mark.parametrize(
    "data",
    [
        b"UNICODE\0" + "Geburtstag in Köln".encode("utf-16-be"), b"UNICODE\0" + "Geburtstag in Köln".encode("utf-16-le"),
        b"UNICODE\0" + "Geburtstag in Köln".encode("utf-16"), b"ASCII\0\0\0" + "Geburtstag in Köln".encode(), "Geburtstag in Köln".encode(),
    ],
)  # fmt: skip
def test_comments_in_either_order_of_bytes(tmp_path, data):
    assert describe(with_exif(tmp_path, detail={0x9286: data}), "image").caption == "Geburtstag in Köln"


@pytest.mark.parametrize(
    "text", ["Sony Center Berlin", "Canon in D", "Kodak Theatre Oscars", "Nikon club picnic 2019", "ASCII art by Tom"]
)
def test_captions_that_begin_like_a_maker_are_captions(tmp_path, text):
    assert describe(with_exif(tmp_path, tags={0x010E: text}), "image").caption == text
    for made in ("OLYMPUS DIGITAL CAMERA         ", "SONY DSC", "Minolta DSC", "KODAK Digital Still Camera", "charset=Ascii"):
        assert describe(with_exif(tmp_path, "b.jpg", tags={0x010E: made}), "image").caption == ""


def test_comments_of_jpegs_that_people_wrote(tmp_path):
    assert (
        describe(saved(tmp_path, "a.jpg", comment=b"Grandma at the lighthouse"), "image").caption == "Grandma at the lighthouse"
    )
    assert describe(saved(tmp_path, "b.jpg", comment=b"CREATOR: gd-jpeg v1.0 (using IJG JPEG v62)"), "image").caption == ""


def test_keywords_are_divided_where_their_schema_says(tmp_path):
    path = saved(tmp_path, "a.jpg")
    (tmp_path / "a.jpg.xmp").write_text(XMP.replace("<rdf:li>tower</rdf:li>", "<rdf:li>AC/DC</rdf:li><rdf:li>24/7</rdf:li>"))
    found = describe(path, "image")
    assert {"AC/DC", "24/7", "People", "Zoë"} <= set(found.keywords) and "AC" not in found.keywords and "Zoë" in found.people


def test_faces_that_windows_marked(tmp_path):
    path = saved(tmp_path, "a.jpg")
    region = (
        "<MP:RegionInfo xmlns:MP='http://ns.microsoft.com/photo/1.2/' xmlns:MPReg='http://ns.microsoft.com/photo/1.2/t/Region#'>"
        "<rdf:Description MPReg:PersonDisplayName='Rosa Parks'/></MP:RegionInfo>"
    )
    (tmp_path / "a.jpg.xmp").write_text(XMP.replace("</rdf:Description></rdf:RDF>", f"{region}</rdf:Description></rdf:RDF>"))
    assert "Rosa Parks" in describe(path, "image").people


@pytest.mark.parametrize("name", ["IMG_1-edited.jpg", "IMG_1-bearbeitet.jpg", "IMG_1-modifié.jpg"])
def test_what_google_edited_has_the_date_of_the_original(tmp_path, name):
    (tmp_path / "IMG_1.jpg.supplemental-metadata.json").write_text(json.dumps({"photoTakenTime": {"timestamp": "1009900800"}}))
    assert describe(saved(tmp_path, name), "image").taken_at.year == 2002


@pytest.mark.parametrize(
    "name, want",
    [
        ("IMG20200101123456.jpg", "2020-01-01 12:34:56"), ("20190703101500.jpg", "2019-07-03 10:15:00"),
        ("DJI_20230703101500_0001_D.jpg", "2023-07-03 10:15:00"), ("WhatsApp Image 2019-07-03 at 10.15.00 PM.jpeg", "2019-07-03 22:15:00"),
        ("2019-07-03 12.05.00 AM.png", "2019-07-03 00:05:00"), ("scan 20190703.jpg", "2019-07-03 12:00:00"),
    ],
)  # fmt: skip
def test_more_dates_in_names(name, want):
    assert dated(Path(name)).taken_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") == want


@pytest.mark.parametrize("zone", ["Europe/Rome", "America/New_York", "UTC"])
@pytest.mark.parametrize("zero", ["1970:01:01 00:00:00", "1904:01:01 00:00:00"])
def test_a_clock_that_was_never_set_says_nothing_in_any_zone(tmp_path, monkeypatch, zone, zero):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        path = with_exif(tmp_path, "IMG-20190607-WA0001.jpg", detail={0x9003: zero})
        assert describe(path, "image").taken_at.year == 2019
    finally:
        monkeypatch.undo()
        time.tzset()


def test_texts_behind_the_pixels_of_a_png(tmp_path):
    info = PngInfo()
    info.add(b"tEXt", b"Description\0behind", after_idat=True)
    info.add(b"tEXt", b"Creation Time\0002019-06-07T08:09:10Z", after_idat=True)
    found = describe(saved(tmp_path, "a.png", pnginfo=info), "image")
    assert found.caption == "behind" and found.taken_at == datetime(2019, 6, 7, 8, 9, 10, tzinfo=UTC)
