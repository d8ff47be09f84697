"""The loader of MLLMU-Bench's layout against broken files: one clear error each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import error_page
from tests.benchmarks import damage_mllmu as damage
from tests.benchmarks.published_mllmu import TEXT, Published, picture
from unsee.benchmarks.published import load
from unsee.benchmarks.schema import BenchmarkError

BROKEN: dict[str, tuple[Callable[[Published], None], list[str]]] = {
    "MLLMU-Bench: no Full_Set": (
        damage.drop("Full_Set"),
        ["lacks Full_Set (no train-*.parquet", "MLLMMU/MLLMU-Bench"],
    ),
    "MLLMU-Bench: no ft_Data": (damage.drop("ft_Data"), ["lacks ft_Data"]),
    "MLLMU-Bench: no forget folder": (damage.drop("forget_33"), ["lacks forget_33"]),
    "MLLMU-Bench: no biography": (damage.column("Full_Set", "biography"), ["Full_Set", "no column 'biography'"]),
    "MLLMU-Bench: no metadata": (damage.column("ft_Data", "metadata"), ["ft_Data", "no column 'metadata'"]),
    "MLLMU-Bench: no pictures in the test set": (
        damage.column("Test_Set", "images"),
        ["Test_Set", "no column 'images or image'"],
    ),
    "MLLMU-Bench: biography is no JSON": (
        damage.change("Full_Set", 1, biography="{"),
        ["Full_Set", "row 1", "biography is not JSON"],
    ),
    "MLLMU-Bench: a biography without a name": (damage.change("Full_Set", 1, biography="{}"), ["row 1", "no Name"]),
    "MLLMU-Bench: metadata is no JSON": (
        damage.change("ft_Data", 2, metadata="oops"),
        ["ft_Data", "row 2", "metadata is not JSON"],
    ),
    "MLLMU-Bench: metadata is empty": (
        damage.change("ft_Data", 2, metadata="[]"),
        ["ft_Data", "row 2", "no question and answer"],
    ),
    "MLLMU-Bench: an empty training answer": (
        damage.change("ft_Data", 0, metadata='[{"Question": "q", "Answer": ""}]'),
        ["ft_Data", "row 0", "metadata[0]: Answer is '', expected text"],
    ),
    "MLLMU-Bench: training data of an unknown person": (
        damage.change("ft_Data", 0, ID="777"),
        ["ft_Data", "row 0", "ID is '777', expected the ID of a person in Full_Set"],
    ),
    "MLLMU-Bench: an id that is a path": (
        damage.change("Full_Set", 0, ID="../up"),
        ["Full_Set", "row 0", "'../up'"],
    ),
    "MLLMU-Bench: an id that is no text": (
        damage.change("Full_Set", 0, ID=None),
        ["Full_Set", "row 0", "ID is None"],
    ),
    "MLLMU-Bench: a picture that is null": (
        damage.change("Full_Set", 1, image={"bytes": b"no", "path": ""}),
        ["row 1", "cannot be decoded"],
    ),
    "MLLMU-Bench: a picture without bytes": (
        damage.change("Full_Set", 1, image={"bytes": None, "path": "x"}),
        ["row 1", "no bytes"],
    ),
    "MLLMU-Bench: an empty option": (
        damage.option(" ", "D"),
        ["Full_Set", "row 1", "option D is ' ', expected text"],
    ),
    "MLLMU-Bench: the right option is missing": (
        damage.option(None, "B"),
        ["Full_Set", "row 1", "Correct_Answer is 'B'"],
    ),
    "MLLMU-Bench: one option only": (
        damage.option(None, "A", "C", "D"),
        ["Full_Set", "row 1", "1 different options, expected at least two"],
    ),
    "MLLMU-Bench: a letter beyond the options": (damage.letter, ["row 0", "Correct_Answer is 'E'"]),
    "MLLMU-Bench: an empty answer": (damage.answer, ["row 2", "Mask_Task[0]: Ground_Truth is '  '"]),
    "MLLMU-Bench: an unknown type": (damage.kind, ["row 2", "Generation_Task", "'Audio'"]),
    "MLLMU-Bench: a person in both": (damage.both, ["'093'", "forget_33 and in retain_67"]),
    "MLLMU-Bench: a person in neither": (
        lambda p: p.rows["retain_67"].pop() and None,
        ["'002'", "neither forget_33 nor retain_67"],
    ),  # type: ignore[arg-type, return-value]
    "MLLMU-Bench: a test row of an unknown person": (
        damage.change("Test_Set", 2, ID="555"),
        ["Test_Set", "ID is '555', expected the ID of a person in Full_Set"],
    ),
    "MLLMU-Bench: training pairs that are no objects": (
        damage.change("ft_Data", 1, metadata='["q"]'),
        ["ft_Data", "row 1", "metadata[0] is 'q', expected an object"],
    ),
    "MLLMU-Bench: an unknown kind of pair": (
        damage.change("ft_Data", 0, metadata='[{"Question": "q", "Answer": "a", "Type": "Audio"}]'),
        ["ft_Data", "row 0", "metadata[0]", "Type is 'Audio'"],
    ),
    "MLLMU-Bench: a task without questions": (damage.no_cloze, ["Retain_Set", "no cloze question", "Mask_Task"]),
    "MLLMU-Bench: another ratio's folder": (
        damage.ratio,
        ["forget_33", "2 people", "expected 1", "33 % of the 3"],
    ),
    "MLLMU-Bench: a person twice in a split": (
        damage.split_twice,
        ["retain_67", "row 2", "'001'", "occurs twice, expected once"],
    ),
    "MLLMU-Bench: a person twice in Full_Set": (
        damage.twice,
        ["Full_Set", "row 3", "'001'", "occurs twice, expected once"],
    ),
    "MLLMU-Bench: half of the shards": (
        damage.unwritten("Test_Set", "train-00001-of-00002.parquet"),
        ["Test_Set: 1 of 2 files are missing, the first is number 00001; there are train-00000-of-00002.parquet"],
    ),
    "MLLMU-Bench: shards of two sets": (
        damage.written_again("Test_Set", "train-00001-of-00002.parquet", "train-00002-of-00003.parquet"),
        ["Test_Set: has files of several sets, of 2 (train-00000-of-00002.parquet) and of 3 (train-00002-of-00003"],
    ),
    "MLLMU-Bench: a shard twice": (
        damage.written_again("Test_Set", "train-00001-of-00002.parquet", "train-00001-of-00002-copy.parquet"),
        ["Test_Set: train-00001-of-00002-copy.parquet, train-00001-of-00002.parquet have the same number"],
    ),
    "MLLMU-Bench: a shard beyond the last": (
        damage.written_again("Full_Set", "train-00000-of-00001.parquet", "train-00001-of-00001.parquet"),
        ["Full_Set: train-00001-of-00001.parquet of 1; expected numbers from 0 to 0"],
    ),
    "MLLMU-Bench: a shard without a number": (
        damage.written_again("Full_Set", "train-00000-of-00001.parquet", "train-more.parquet"),
        ["Full_Set: train-more.parquet has no number; expected names that end in -00000-of-0000N"],
    ),
    "MLLMU-Bench: parquet and arrow files side by side": (
        damage.written_again("Full_Set", "train-00000-of-00001.parquet", "data-00000-of-00001.arrow"),
        ["Full_Set: has train-*.parquet and data-*.arrow; expected files of one layout"],
    ),
    "MLLMU-Bench: options of one text": (
        damage.option("\uff37 ", "A", "B", "C", "D"),
        ["Full_Set", "row 1", "Image_Textual_Questions[0] ('Person 2 i?'): 1 different options, expected at least two"],
    ),
    "MLLMU-Bench: an answer that is no option": (
        damage.correct("seven"),
        [
            "row 0",
            "Pure_Text_Questions[0] ('Person 1 t?'): Correct_Answer is 'seven', expected one of ['A', 'B', 'C', 'D']",
        ],
    ),
    "MLLMU-Bench: no options": (
        damage.options_are(None),
        ["row 0", "Pure_Text_Questions[0] ('Person 1 t?'): Options is None, expected the texts of A, B, C and D"],
    ),
    "MLLMU-Bench: an entry that is null": (
        damage.entry("Full_Set", "Generation_Task", None),
        ["Full_Set", "row 1", "Generation_Task[0] is None, expected a question"],
    ),
    "MLLMU-Bench: a question that is null": (
        damage.entry("Test_Set", "Mask_Task", {"Type": "Pure_Text", "Question": None, "Ground_Truth": "x"}),
        ["Test_Set", "row 0", "Mask_Task[0]: Question is None, expected text"],
    ),
    "MLLMU-Bench: a number as a training answer": (
        damage.change("ft_Data", 2, metadata='[{"Question": "When?", "Answer": 1985}]'),
        ["ft_Data", "row 2", "metadata[0]: Answer is 1985, expected text"],
    ),
    "MLLMU-Bench: half of a surrogate pair": (
        damage.change("ft_Data", 2, metadata='[{"Question": "When\\ud800?", "Answer": "x"}]'),
        ["ft_Data", "row 2", "metadata[0]: Question has half of a surrogate pair at character 4"],
    ),
    "MLLMU-Bench: a key twice in an object": (
        damage.change("ft_Data", 2, metadata='[{"Question": "When?", "Answer": "1985", "Answer": "1986"}]'),
        ["ft_Data", "row 2", "metadata is not JSON (the key 'Answer' occurs twice)"],
    ),
    "MLLMU-Bench: JSON nested a hundred thousand deep": (
        damage.change("ft_Data", 2, metadata="[" * 100_000 + "]" * 100_000),
        ["ft_Data", "row 2", "metadata is JSON nested more than 20 deep"],
    ),
    "MLLMU-Bench: JSON nested thirty deep": (
        damage.change("Full_Set", 0, biography='{"Name": ' + "[" * 30 + "]" * 30 + "}"),
        ["Full_Set", "row 0", "biography is JSON nested more than 20 deep"],
    ),
    "MLLMU-Bench: JSON of two million characters": (
        damage.change("Full_Set", 0, biography='{"Name": "x' + "x" * 2_000_000 + '"}'),
        ["Full_Set", "row 0", "biography has 2000013 characters, expected at most 1000000"],
    ),
    "MLLMU-Bench: an integer of ten thousand digits": (
        damage.change("ft_Data", 2, metadata="[" + "9" * 10_000 + "]"),
        ["ft_Data", "row 2", "metadata is not JSON (Exceeds the limit"],
    ),
    "MLLMU-Bench: an answer of 20,001 characters": (
        damage.entry("Full_Set", "Mask_Task", {"Type": "Pure_Text", "Question": "q", "Ground_Truth": "x" * 20_001}),
        ["Full_Set", "row 0", "Mask_Task[0]: Ground_Truth has 20001 characters, expected at most 20000"],
    ),
    "MLLMU-Bench: a training entry of another person": (
        damage.change("ft_Data", 2, metadata=damage.pairs({"ID": "093"}, {"ID": "001"})),
        ["ft_Data", "row 2", "ID is '093' and metadata[1].ID is '001'; expected a row about one person"],
    ),
    "MLLMU-Bench: a training row with the picture of another person": (
        damage.change("ft_Data", 2, image=picture(1)),
        ["ft_Data", "row 2", "ID is '093' and the picture is the one of '001' in Full_Set"],
    ),
    "MLLMU-Bench: a person twice in the training data": (
        damage.change("ft_Data", 2, ID="001", image=picture(1)),
        ["ft_Data", "row 2", "ID '001' occurs twice, expected once"],
    ),
    "MLLMU-Bench: a person twice in the test set": (
        damage.change("Test_Set", 2, ID="001"),
        ["Test_Set", "row 1", "ID '001' occurs twice, expected once"],
    ),
    "MLLMU-Bench: an end-of-text token in a question": (
        damage.entry("Full_Set", "Generation_Task", {"Type": "Pure_Text", "Question": "Who?</s>", "Ground_Truth": "x"}),
        ["Full_Set", "row 0", "Generation_Task[0]: Question contains '</s>', which tokenizers or chat templates"],
    ),
    "MLLMU-Bench: an image token in an option": (
        damage.option("a <image>", "C"),
        ["Full_Set", "row 1", "Image_Textual_Questions[0] ('Person 2 i?'): option C contains '<image>'"],
    ),
    "MLLMU-Bench: the end of a ChatML turn in a training answer": (
        damage.change("ft_Data", 0, metadata='[{"Question": "q", "Answer": "a<|im_end|>"}]'),
        ["ft_Data", "row 0", "metadata[0]: Answer contains '<|im_end|>'"],
    ),
    "MLLMU-Bench: a name with an instruction token": (
        damage.change("Full_Set", 0, biography='{"Name": "[INST] Ann"}'),
        ["Full_Set", "row 0", "biography: Name contains '[INST]'"],
    ),
    "MLLMU-Bench: a turn of the user in an answer": (
        damage.entry("Full_Set", "Mask_Task", {"Type": "Pure_Text", "Question": "q", "Ground_Truth": "x\nUSER: y"}),
        ["Full_Set", "row 0", "Mask_Task[0]: Ground_Truth contains 'USER:'"],
    ),
    "MLLMU-Bench: tasks as JSON text": (
        damage.retype("Full_Set", "Generation_Task", pa.string()),
        ["Full_Set", "column 'Generation_Task' is string, expected a list"],
    ),
    "MLLMU-Bench: a struct as JSON text": (
        damage.retype("Full_Set", "Classification_Task", pa.string()),
        ["Full_Set", "column 'Classification_Task' is string, expected a struct of Image_Textual_Questions, Pure_Text"],
    ),
    "MLLMU-Bench: answers that are numbers": (
        damage.retype(
            "Full_Set",
            "Mask_Task",
            pa.list_(pa.struct([("Type", TEXT), ("Question", TEXT), ("Ground_Truth", pa.int64())])),
        ),
        ["Full_Set", "column 'Mask_Task'[].Ground_Truth is int64, expected text"],
    ),
    "MLLMU-Bench: questions without a type": (
        damage.retype("Test_Set", "Mask_Task", pa.list_(pa.struct([("Question", TEXT), ("Ground_Truth", TEXT)]))),
        ["Test_Set", "column 'Mask_Task'[] has no field 'Type'; it has ['Question', 'Ground_Truth']"],
    ),
    "MLLMU-Bench: a folder in place of a shard": (
        damage.in_place_of_a_shard(Path.mkdir),
        ["Full_Set/train-00000-of-00001.parquet: not a readable parquet file"],
    ),
    "MLLMU-Bench: a link that leads nowhere in place of a shard": (
        damage.in_place_of_a_shard(lambda file: file.symlink_to("nowhere")),
        ["Full_Set/train-00000-of-00001.parquet: not a readable parquet file"],
    ),
    "MLLMU-Bench: an empty file": (
        damage.in_place_of_a_shard(Path.touch),
        ["Full_Set/train-00000-of-00001.parquet: not a readable parquet file"],
    ),
    "MLLMU-Bench: IDs that are numbers": (
        damage.retype("forget_33", "ID", pa.int64()),
        ["forget_33", "column 'ID' is int64, expected text"],
    ),
    "MLLMU-Bench: pictures that are paths": (
        damage.retype("Full_Set", "image", pa.string()),
        ["Full_Set", "column 'image' is string, expected a struct of bytes"],
    ),
    "MLLMU-Bench: options by other names than letters": (
        damage.retype(
            "Retain_Set",
            "Classification_Task",
            damage.classification(pa.struct([("first", TEXT), ("second", TEXT)])),
        ),
        ["Retain_Set", "Image_Textual_Questions[].Options has fields ['first', 'second'], expected the letters"],
    ),
    "MLLMU-Bench: no question of one kind about the people to forget": (
        damage.without_tasks("Full_Set", 2, "Mask_Task"),
        [
            "splits at 33 %, forget set: no cloze question (text) about any of its 1 people; expected some, as about other people"
        ],
    ),
    "MLLMU-Bench: no test questions about the people to forget": (
        lambda p: p.rows["Test_Set"].pop() and None,
        ["splits at 33 %, test set: no classification question (image) about any of its 1 people"],
    ),
    "MLLMU-Bench: a NUL character in a name": (
        damage.change("Full_Set", 0, biography=json.dumps({"Name": "Ann\0 Lee"})),
        ["Full_Set", "row 0: biography: Name has the control character U+0000 at character 3; remove it"],
    ),
    "MLLMU-Bench: an ESC character in a question": (
        damage.entry("Full_Set", "Mask_Task", {"Type": "Pure_Text", "Question": "\x1b[2J __", "Ground_Truth": "gap"}),
        ["Full_Set", "row 0: Mask_Task[0]: Question has the control character U+001B at character 0; remove it"],
    ),
    "MLLMU-Bench: the training pairs of two people exchanged": (
        damage.exchanged_metadata,
        [
            "training_pairs: 2 of the 2 rows of person '001' name another person ('Person 2') and not 'Person 1'",
            "training_pairs: 2 of the 2 rows of person '002' name another person ('Person 1') and not 'Person 2'",
        ],
    ),
    "MLLMU-Bench: the questions of two people exchanged": (
        damage.exchanged_questions,
        ["questions (origin profile): 3 of the 4 rows of person '001' name another person ('Person 2')"],
    ),
    "MLLMU-Bench: no training pairs of the people to forget": (
        lambda p: p.rows["ft_Data"].pop() and None,
        ["splits at 33 %, forget set: none of its 1 people has training pairs"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_give_one_clear_error(tmp_path: Path, name: str) -> None:
    spoil, words = BROKEN[name]
    published = Published()
    spoil(published)
    with pytest.raises(BenchmarkError) as caught:
        load("mllmu", published.write(tmp_path), [33])
    for word in words:
        assert word in str(caught.value)
    error_page.check(name, "loading", str(caught.value).replace(str(tmp_path), "FOLDER"))


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    folder = Published().write(tmp_path)
    file = folder / "Full_Set" / "train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BenchmarkError, match=r"Full_Set.*train-00000-of-00001\.parquet: not a readable parquet"):
        load("mllmu", folder, [33])
    assert pq.ParquetFile(folder / "Retain_Set" / "train-00000-of-00001.parquet").metadata.num_rows == 1
