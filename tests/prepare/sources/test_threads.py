from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pakar.errors import DataError
from pakar.prepare import sources
from pakar.prepare.sources.chat import is_chat
from pakar.prepare.sources.reading import resolve
from pakar.prepare.sources.rows import Record, Row
from pakar.prepare.sources.threads import records
from pakar.recipe import Source, TurnsShape
from tests.prepare.sources.helpers import json_lines, read, write

TABLE = """ticket,when,who,words,topic
A,2024-03-12 10:02,Agent,Have you tried tea?,sleep
B,2024-03-12 09:00,Ben,Hello?,stress
A,2024-03-12 10:00,Ann,I cannot sleep.,sleep
A,2024-03-12 10:01,Ann,Since May.,sleep
A,2024-03-12 10:03,Ann,Thanks!,sleep
C,2024-03-12 08:00,Agent,Welcome.,
C,2024-03-12 08:01,Cem,How much?,
C,2024-03-12 08:02,Agent,Ten.,
C,2024-03-12 08:03,Agent,Per month.,
,2024-03-12 08:03,Agent,Lost.,
"""
SHAPE: dict[str, Any] = {"kind": "turns", "conversation": "ticket", "speaker": "who", "text": "words", "time": "when"}


def test_messages_become_conversations_that_begin_with_the_user_and_end_with_the_assistant(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.csv", TABLE), shape=SHAPE, label="topic")
    assert found.turns == [
        [("user", "I cannot sleep.\nSince May."), ("assistant", "Have you tried tea?")],
        [("user", "How much?"), ("assistant", "Ten.\nPer month.")],
    ]
    assert found.kept.select("offset", "group", "label").rows() == [
        (1, "conversation:A", "sleep"),
        (6, "conversation:C", None),
    ]
    assert found.reasons == [(10, "stray_line"), (2, "no_answer")]


def test_without_times_the_order_of_rows_counts(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.csv", TABLE), shape={**SHAPE, "time": None})
    assert found.turns[0] == [("user", "How much?"), ("assistant", "Ten.\nPer month.")]
    assert found.reasons == [(10, "stray_line"), (1, "no_answer"), (2, "no_answer")]


def test_the_assistant_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", TABLE.replace("Agent", "Dr. Lee"))
    assert read(path, shape={**SHAPE, "assistant": ["dr. lee"]}).turns[1] == [
        ("user", "How much?"),
        ("assistant", "Ten.\nPer month."),
    ]
    with pytest.raises(
        DataError, match=r"nobody in the column who is known to be the assistant; it holds Ann, Ben, Cem, Dr. Lee"
    ):
        read(path, shape=SHAPE)


def test_numbers_are_sorted_by_value_and_other_times_are_refused(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "speaker": who, "text": text, "t": t} for t, who, text in [(10, "agent", "So."), (9, "user", "Why?")]
    ]
    shape = {"kind": "turns", "conversation": "id", "time": "t"}
    assert read(write(tmp_path / "a.jsonl", json_lines(*rows)), shape=shape).pairs == [("Why?", "So.")]
    odd = [{**row, "t": f"{row['t']} o'clock"} for row in rows]
    with pytest.raises(DataError, match=r"10 o.+clock. in the column t cannot be sorted"):
        read(write(tmp_path / "b.jsonl", json_lines(*odd)), shape=shape)


def test_a_conversation_may_lie_in_several_files(tmp_path: Path) -> None:
    for number, (who, text) in enumerate([("user", "Why?"), ("bot", "So.")]):
        frame = pl.DataFrame({"conversation": ["x"], "speaker": [who], "text": [text]})
        frame.write_parquet(tmp_path / f"part-{number}.parquet")
    found = read(tmp_path, shape={"kind": "turns"})
    assert found.pairs == [("Why?", "So.")]
    assert found.kept["source"].to_list() == ["part-0.parquet"]
    assert sources.shards(resolve(Source(path=str(tmp_path), shape=TurnsShape()))) is None


def test_a_table_of_messages_is_recognised_where_both_sides_are_plain(tmp_path: Path) -> None:
    rows = [
        {"conversation_id": n // 2, "role": ("user", "agent")[n % 2], "message": f"Words number {n}.", "created_at": n}
        for n in range(10)
    ]
    path = write(tmp_path / "a.jsonl", json_lines(*rows))
    expected = TurnsShape(conversation="conversation_id", speaker="role", text="message", time="created_at")
    assert resolve(Source(path=str(path))).shape == expected
    assert len(read(path).kept) == 5


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["user", "agent"]), st.sampled_from(["", "x", "y"])),
        max_size=30,
    )
)
def test_every_conversation_counts_once_and_alternates(messages: list[tuple[str, str, str]]) -> None:
    rows = [
        Row(offset, {"conversation": key, "speaker": who, "text": text})
        for offset, (key, who, text) in enumerate([*messages, ("z", "agent", "so")], 1)
    ]
    found = list(records(rows, TurnsShape(), None))
    assert len(found) == len({key for key, _, _ in messages} | {"z"})
    for record in found:
        if isinstance(record, Record):
            roles = [message.role for message in record.messages]
            assert roles == ["user", "assistant"] * (len(roles) // 2)
            assert roles


CHATS = {
    "android": "12/03/24, 10:15 - Messages are encrypted.\n12/03/24, 10:15 - Ann: Why?\nReally?\n12/03/24, 10:16 - Bot: So.\n13/03/24, 22:00 - Ann: How?\n13/03/24, 22:01 - Bot: Thus: so.\n",
    "us": "3/12/24, 9:59 AM - Ann: Why?\nReally?\n3/12/24, 1:16 PM - Bot: So.\n3/13/24, 10:00\u202fPM - Ann: How?\n3/13/24, 11:01 PM - Bot: Thus: so.\n",
    "ios": "\u200e[12.03.24, 10:15:02] Ann: Why?\nReally?\n[12.03.24, 10:15:10] Bot: So.\n[14.03.24, 10:15:02] Ann: How?\n[14.03.24, 10:15:10] Bot: Thus: so.\n",
    "iso": "[2024-03-12 10:15:02] Ann: Why?\nReally?\n[2024-03-12 10:15:03] Bot: So.\n[2024-03-13 10:15:02] Ann: How?\n[2024-03-13 10:16:02] Bot: Thus: so.\n",
    "irc": "10:15 <ann> Why?\n10:15 <ann> Really?\n10:16 <@bot> So.\n10:16 -!- cem has joined\n20:15 <ann> How?\n20:16 <bot> Thus: so.\n",
}  # fmt: skip


@pytest.mark.parametrize("name", CHATS)
def test_exported_chats_are_recognised_and_parted_by_silence(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / f"{name}.txt", CHATS[name])
    assert resolve(Source(path=str(path))).format == "chat"
    found = read(path)
    assert found.turns == [
        [("user", "Why?\nReally?"), ("assistant", "So.")],
        [("user", "How?"), ("assistant", "Thus: so.")],
    ]
    assert found.kept["group"].to_list() == [f"conversation:{name}.txt 1", f"conversation:{name}.txt 2"]
    assert [reason for _, reason in found.reasons] == (["stray_line"] if name in {"android", "irc"} else [])


@pytest.mark.parametrize(
    "text",
    [
        "At 10:15 we met.\nNote: it rained.\nAnn: hello\nBen: hi\n",
        "# Sleep\n\n2024-03-12 10:15 Diary: slept well.\nMore words.\nMore words.\nMore.\n",
        "12/03/24 a date\n12/03/25 another\n12/03/26 third\n",
    ],
)
def test_other_texts_are_no_chats(text: str) -> None:
    assert not is_chat(text.splitlines())


def test_a_chat_between_people_asks_who_answers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", CHATS["iso"].replace("Bot", "Lee"))
    with pytest.raises(DataError, match="it holds Ann, Lee") as caught:
        read(path)
    assert 'assistant: ["Ann"]' in caught.value.next_step
    assert len(read(path, shape={"kind": "turns", "assistant": ["Lee"]}).kept) == 2
    assert len(read(path, format="text").kept) == 1
