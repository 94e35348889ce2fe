"""Reports for people."""

from samespace.cli.library import MAX_NAMED, skipped_lines


def test_many_skipped_for_one_reason_are_one_line():
    many = [(f"/a/{i}.mp3", "no audio tower; add one") for i in range(MAX_NAMED + 1)]
    few = [("/a/b\n.png", "broken; repair it"), ("/a/c.png", "broken; repair it")]
    assert list(skipped_lines([*few, *many])) == [
        "skipped /a/b\\n.png: broken; repair it", "skipped /a/c.png: broken; repair it",
        f"skipped {MAX_NAMED + 1} files, the first is /a/0.mp3 (--json lists all): no audio tower; add one",
    ]  # fmt: skip
