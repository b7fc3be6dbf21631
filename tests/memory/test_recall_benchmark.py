"""The measurement of recall, on a conversation small enough to judge by eye."""

import json
from pathlib import Path

import pytest
from gesso.memory.benchmarks.recall import main, read_conversations, run

TALK = [
    {
        "sample_id": "talk-1",
        "conversation": {
            "speaker_a": "Ann",
            "speaker_b": "Bo",
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                {"speaker": "Ann", "dia_id": "D1:1", "text": "How is your rabbit?"},
                {"speaker": "Bo", "dia_id": "D1:2", "text": "Well!", "blip_caption": "a carrot"},
            ],
            "session_2_date_time": "9:05 am on 1 June, 2023",
            "session_2": [{"speaker": "Ann", "dia_id": "D2:1", "text": "Good night"}],
        },
        "qa": [
            {"question": "How is the rabbit?", "evidence": ["D1:1; D1:2"], "category": 1},
            {"question": "Who said good night?", "evidence": ["D2:1"], "category": 4},
            {"question": "What is not said?", "evidence": [], "category": 5},
        ],
    }
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(TALK))
    return path


def test_turns_carry_their_speaker_caption_and_session(data: Path) -> None:
    (conversation,) = read_conversations(data)
    turn = conversation.turns[1]
    assert (turn.name, turn.speaker, turn.text) == ("D1:2", "Bo", "Bo: Well! [a carrot]")
    assert (turn.session, turn.at.isoformat()) == ("session_1", "2023-05-08T13:56:00+00:00")
    assert [question.evidence for question in conversation.questions] == [
        {"D1:1", "D1:2"},
        {"D2:1"},
    ]


def test_recall_is_the_part_of_the_evidence_found(data: Path) -> None:
    outcomes = {
        outcome.name: outcome for outcome in run(list(read_conversations(data)), parts=True)
    }
    assert outcomes["gesso, BM25 alone"].recall == {5: 75.0, 10: 75.0}
    assert outcomes["gesso"].recall == {5: 100.0, 10: 100.0}
    assert outcomes["rank-bm25, words"].recall[10] == 100.0, "it returns all that there is"


def test_the_command_says_where_the_data_are_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["recall", "--data", "nowhere.json"])
    with pytest.raises(SystemExit):
        main()
    assert (
        "nowhere.json is not there: name the conversations with --data" in capsys.readouterr().err
    )
