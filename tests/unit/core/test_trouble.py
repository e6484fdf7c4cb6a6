"""One line for a trouble that lasts, few for one that goes on and on, and one for its end."""

from zraft.core.trouble import AGAIN_SECONDS_MAX, PATIENCE_SECONDS, Contacts, Lasts, Over, Trouble


def test_what_is_over_soon_is_not_told() -> None:
    told = Trouble()
    assert told.look("no leader", 10.0) is None
    assert told.look("no leader", 10.0 + PATIENCE_SECONDS - 0.1) is None
    assert told.look("", 10.0 + PATIENCE_SECONDS) is None


def test_what_lasts_is_told_once_and_so_is_its_end() -> None:
    told = Trouble()
    told.look("no leader", 10.0)
    assert told.look("no leader", 15.0) == Lasts("no leader", 5.0)
    assert told.look("no leader", 16.0) is None
    assert told.look("", 21.0) == Over(11.0)
    assert told.look("", 22.0) is None


def test_another_reason_is_the_same_trouble() -> None:
    told = Trouble()
    told.look("storage has not moved for 6 s", 10.0)
    assert told.look("storage has not moved for 11 s", 15.0) == Lasts("storage has not moved for 11 s", 5.0)
    assert told.look("storage has not moved for 12 s", 16.0) is None


def test_what_goes_on_is_told_ever_more_rarely() -> None:
    told = Trouble()
    at = [second for second in range(20_000) if told.look("no leader", float(second))]
    assert at[:4] == [5, 65, 185, 425]
    assert at[-1] - at[-2] == AGAIN_SECONDS_MAX


def test_the_next_trouble_has_the_same_patience() -> None:
    told = Trouble()
    told.look("no leader", 0.0)
    told.look("no leader", 5.0)
    told.look("", 6.0)
    assert told.look("no leader", 7.0) is None
    assert told.look("no leader", 12.0) == Lasts("no leader", 5.0)


def test_a_leader_tells_of_a_member_that_does_not_answer_and_when_it_does_again() -> None:
    contacts, told = Contacts(), []
    for second in range(12):
        contacts.answered(2)
        if second == 8:
            contacts.answered(3)
        told += [(second, *one) for one in contacts.look((2, 3), float(second))]
    assert told == [(5, 3, Lasts("silent", 5.0)), (8, 3, Over(8.0))]


def test_members_have_a_second_to_answer_however_often_is_looked() -> None:
    contacts, told = Contacts(), []
    for tenth in range(100):
        if tenth % 10 == 9:
            contacts.answered(2)
        told += contacts.look((2,), tenth / 10)
    assert told == []


def test_who_leads_no_more_tells_of_nobody_and_begins_anew() -> None:
    contacts = Contacts()
    assert contacts.look((2,), 0.0) == contacts.look((), 2.0) == []
    assert contacts.look((2,), 6.0) == []
    assert contacts.look((2,), 11.0) == [(2, Lasts("silent", 5.0))]
