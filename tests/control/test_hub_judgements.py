"""The pure parts of the hub: journals that go back, who holds a key, which bytes are new."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from caisey.control.journals import JOURNALS_PER_ENDPOINT, Journals
from caisey.control.lives import REPLACED_KEPT, Claim, Life, Standing, after, judge
from caisey.control.output import Piece, differing, fresh, repeated, within

# -- who holds a key ---

LIFE = Life("rtm_1", "inc_2", 7, "boot_1", "print_1", replaced=("inc_1",))


@pytest.mark.parametrize(
    ("claim", "standing"),
    [
        (Claim("inc_2", 7, "boot_1", "print_1"), Standing.SAME),
        (Claim("inc_3", 8, "boot_1", "print_1"), Standing.NEXT),
        (Claim("inc_3", 900, "boot_2", "print_1"), Standing.NEXT),
        (Claim("inc_3", 7, "boot_1", "print_1"), Standing.SET_BACK_OR_CLONE),
        (Claim("inc_3", 1, "boot_2", "print_1"), Standing.SET_BACK_OR_CLONE),
        (Claim("inc_3", 8, "boot_1", "print_2"), Standing.CLONE),
        (Claim("inc_2", 7, "boot_1", "print_2"), Standing.CLONE),
        (Claim("inc_1", 6, "boot_1", "print_1"), Standing.CLONE),
        (Claim("inc_1", 9, "boot_1", "print_1"), Standing.CLONE),
        (Claim("inc_2", 8, "boot_1", "print_1"), Standing.CLONE),
        (Claim("inc_2", 7, "boot_2", "print_1"), Standing.CLONE),
    ],
)
def test_who_holds_the_key(claim: Claim, standing: Standing) -> None:
    assert judge(LIFE, claim, "print_0") is standing


def test_the_first_life_shows_the_fingerprint_that_was_enrolled() -> None:
    claim = Claim("inc_1", 1, "boot_1", "print_1")
    assert judge(None, claim, "print_1") is Standing.FIRST
    assert judge(None, claim, None) is Standing.FIRST
    assert judge(None, claim, "print_2") is Standing.CLONE


def test_after_a_persons_decision_whoever_comes_next_holds_it() -> None:
    claim = Claim("inc_1", 1, "boot_9", "print_9")
    assert judge(Life.unknown("rtm_1"), claim, "print_1") is Standing.FIRST
    assert after(Life.unknown("rtm_1"), "rtm_1", claim) == Life("rtm_1", *claim)


def test_replaced_incarnations_are_remembered_up_to_a_bound() -> None:
    life: Life | None = None
    for start in range(1, 3 * REPLACED_KEPT):
        claim = Claim(f"inc_{start}", start, "boot_1", "print_1")
        assert judge(life, claim, "print_1") in (Standing.FIRST, Standing.NEXT)
        life = after(life, "rtm_1", claim)
        assert after(life, "rtm_1", claim) == life
    assert life is not None
    assert len(life.replaced) == REPLACED_KEPT
    assert judge(life, Claim(life.replaced[0], 1, "boot_1", "print_1"), None) is Standing.CLONE
    assert judge(life, Claim("inc_1", 1, "boot_1", "print_1"), None) is Standing.SET_BACK_OR_CLONE


# -- journals that go back ---


class Marks(RuleBasedStateMachine):
    """A hello is judged against exactly what was seen before its challenge."""

    def __init__(self) -> None:
        super().__init__()
        self.journals = Journals()
        self.journal = self.journals.of("ept_1", "jrn_1")
        self.seen = 0
        self.open: dict[int, int] = {}  # challenge -> what was seen before it

    @rule()
    def challenge(self) -> None:
        if len(self.open) < 20:
            self.open[self.journals.challenge_sent()] = self.seen

    @rule(sequence=st.integers(0, 60))
    def hear(self, sequence: int) -> None:
        self.journals.seen(self.journal, sequence)
        self.seen = max(self.seen, sequence)

    @rule(pick=st.randoms(use_true_random=False), sequence=st.integers(0, 60))
    def hello(self, pick: object, sequence: int) -> None:
        if not self.open:
            return
        challenge = pick.choice(sorted(self.open))  # type: ignore[attr-defined]  # a random.Random
        assert self.journals.went_back(self.journal, challenge, sequence) is (sequence < self.open.pop(challenge))
        self.journals.challenge_over(challenge)

    @invariant()
    def mark_is_the_highest(self) -> None:
        assert self.journal.mark == self.seen


TestMarks = Marks.TestCase


def test_many_raises_within_one_handshake_are_judged_mildly_and_bounded() -> None:
    journals = Journals()
    journal = journals.of("ept_1", "jrn_1")
    first = later = journals.challenge_sent()
    for sequence in range(1, 1_000):
        journals.seen(journal, sequence)
        later = journals.challenge_sent()
    assert not journals.went_back(journal, first, 0)
    assert journals.went_back(journal, later, 998)
    assert len(journal.raised) <= 64


def test_a_journal_that_went_back_is_distrusted_until_somebody_looked() -> None:
    journals = Journals()
    journal = journals.of("ept_1", "jrn_1")
    journals.seen(journal, 40)
    journals.distrust(journal, 7, now_ms=1_000)
    assert (journal.trusted, journal.mark, journals.untrusted_since("ept_1")) == (False, 7, 1_000)
    journals.distrust(journal, 5, now_ms=2_000)
    assert journals.untrusted_since("ept_1") == 1_000
    assert journals.untrusted_since("ept_2") is None
    assert journals.reviewed("ept_2") == []
    assert journals.reviewed("ept_1") == [journal]
    assert journal.trusted
    assert [row.mark for row in journals.take_changes(3_000)] == [5]
    assert journals.take_changes(3_000) == []


def test_the_same_id_on_another_computer_is_another_journal() -> None:
    journals = Journals()
    journals.seen(journals.of("ept_1", "jrn_1"), 40)
    assert journals.of("ept_2", "jrn_1").mark == 0


def test_a_moved_journal_takes_what_is_known_along() -> None:
    journals = Journals()
    journal = journals.of("ept_1", "jrn_1")
    journals.distrust(journal, 12, now_ms=1_000)
    moved = journals.moved(journal, "ept_2")
    assert (moved.endpoint_id, moved.mark, moved.regressed_since_ms) == ("ept_2", 12, 1_000)


def test_claimed_journals_are_bounded_per_endpoint() -> None:
    journals = Journals()
    kept = journals.of("ept_1", "kept")
    for number in range(2 * JOURNALS_PER_ENDPOINT):
        journals.of("ept_1", f"jrn_{number}")
        assert journals.of("ept_1", "kept") is kept, "one that is heard of stays"
    assert journals.of("ept_1", "jrn_0") is not journals.of("ept_1", f"jrn_{2 * JOURNALS_PER_ENDPOINT - 1}")


# -- which bytes are new ---


@st.composite
def chunk_and_covered(draw: st.DrawFn) -> tuple[bytes, Piece, list[tuple[int, int]]]:
    """A whole stream, a chunk of it, and disjoint sorted ranges that are covered."""
    stream = draw(st.binary(min_size=1, max_size=80))
    start = draw(st.integers(0, len(stream)))
    end = draw(st.integers(start, len(stream)))
    marks = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=10)))
    covered = list(zip(marks[::2], marks[1::2], strict=False))
    return stream, Piece(start, stream[start:end]), covered


@given(chunk_and_covered())
def test_new_and_known_parts_make_up_the_chunk(case: tuple[bytes, Piece, list[tuple[int, int]]]) -> None:
    stream, piece, covered = case
    places = {p for start, end in covered for p in range(start, end)}
    new = list(fresh(piece, covered))
    known = list(repeated(piece, covered))
    new_places = [p for part in new for p in range(part.offset, part.offset + len(part.data))]
    known_places = [p for start, end in known for p in range(start, end)]
    chunk = range(piece.offset, piece.offset + len(piece.data))
    assert new_places == [p for p in chunk if p not in places]
    assert known_places == [p for p in chunk if p in places]
    assert all(part.data == stream[part.offset : part.offset + len(part.data)] for part in new)


@given(said=st.binary(min_size=1, max_size=40), data=st.data())
def test_what_differs_is_found_from_the_first_to_the_last_byte(said: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(said) - 1))
    stored = data.draw(st.binary(min_size=1, max_size=len(said) - start))
    other = differing(Piece(100, said), Piece(100 + start, stored))
    wrong = [i for i, (a, b) in enumerate(zip(said[start:], stored, strict=False)) if a != b]
    if not wrong:
        assert other is None
    else:
        assert other is not None
        assert other.offset == 100 + start + wrong[0]
        assert other.data == said[start + wrong[0] : start + wrong[-1] + 1]


@given(length=st.integers(0, 50), room=st.integers(0, 50))
def test_what_is_beyond_the_limit_is_cut_off(length: int, room: int) -> None:
    kept, cut = within(Piece(7, b"x" * length), room)
    kept_length = len(kept.data) if kept is not None else 0
    cut_length = cut[1] - cut[0] if cut is not None else 0
    assert kept_length + cut_length == length
    assert kept_length <= room
    assert cut is None or cut == (7 + kept_length, 7 + length)
