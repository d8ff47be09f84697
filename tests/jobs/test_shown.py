"""How a message shows a value."""

from __future__ import annotations

from unsee.jobs.config_files import shown


def test_a_path_is_whole_however_deep_its_folder() -> None:
    path = "/home/someone/" + 12 * "a-long-folder/" + "forget.txt"
    assert shown(path) == repr(path)


def test_a_long_text_and_a_long_list_are_cut() -> None:
    assert shown("/" + 10_000 * "a") == "'/" + 74 * "a" + " ..."
    assert shown(200 * "a") == "'" + 75 * "a" + " ..."
    assert shown(list(range(1000))) == "[0, 1, 2, 3, 4, 5, ...]"
