import threading

import pytest

from dupl.runs.lease import Claim, Leases


class Clock:
    def __init__(self, now=0.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def leases(tmp_path, clock):
    return Leases(tmp_path, clock)


def winners(count, take):
    """The results of `take`, called at once in many threads, that are not None."""
    barrier, results = threading.Barrier(count), []

    def attempt(i):
        barrier.wait()
        results.append(take(i))

    threads = [threading.Thread(target=attempt, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [result for result in results if result is not None]


class TestTaking:
    def test_of_many_one_gets_a_run(self, tmp_path):
        for round in range(5):
            assert len(winners(16, lambda i, r=round: Leases(tmp_path).take(f"{r}", f"t{i}", "f", 60))) == 1

    def test_of_many_one_takes_over(self, tmp_path, leases):
        leases.take("a", "dead", "f", 60)
        over = leases.last("a").digest
        (lease,) = winners(16, lambda i: Leases(tmp_path).take("a", f"t{i}", "f", 60, over))
        assert (lease.claim.number, leases.last("a").ticket) == (2, lease.claim.ticket)

    def test_what_is_held_is_not_to_be_had_and_what_ended_is(self, leases):
        lease = leases.take("a", "one", "f", 60)
        assert leases.take("a", "two", "f", 60) is None
        lease.end("failed", "L_seg is NaN")
        assert leases.take("a", "two", "f", 60).claim.number == 2
        assert [(c.outcome, c.error) for c in leases.claims("a")] == [("failed", "L_seg is NaN"), (None, None)]

    def test_a_beat_since_it_was_seen_stale_saves_a_claim(self, leases, clock):
        lease = leases.take("a", "one", "f", 60)
        over = leases.last("a").digest
        clock.now = 20
        assert lease.keep()
        assert leases.take("a", "two", "f", 60, over) is None

    @pytest.mark.parametrize("content", [b"", b'{"ticket": "o', b"[1]", b'{"unknown": 1}'])
    def test_a_claim_whose_writer_died_over_it_is_held_until_it_is_stale(self, leases, content, clock):
        (leases.folder / "a").mkdir(parents=True)
        (leases.folder / "a" / "0001.json").write_bytes(content)
        claim = leases.last("a")
        assert claim == Claim(1)
        assert leases.take("a", "two", "f", 60) is None
        assert leases.take("a", "two", "f", 60, over=claim.digest).claim.number == 2

    def test_drafts_and_stop_files_are_no_claims(self, leases):
        leases.take("a", "one", "f", 60)
        for name in (".0002.json.5f", "abc.stop", "x.json"):
            (leases.folder / "a" / name).touch()
        assert len(leases.claims("a")) == 1


class TestStaleness:
    def watch(self, leases, clock, seconds, step=5):
        """Whether the last claim is stale after watching it for a time."""
        for _ in range(int(seconds / step)):
            clock.now += step
            stale = leases.stale("a", leases.last("a"))
        return stale

    def test_a_claim_that_does_not_change_is_stale_after_its_own_ttl(self, leases, clock):
        leases.take("a", "one", "f", ttl=100)
        assert not leases.stale("a", leases.last("a"))
        assert not self.watch(leases, clock, 95)
        assert self.watch(leases, clock, 5)

    def test_one_that_is_renewed_never_is(self, leases, clock):
        lease = leases.take("a", "one", "f", ttl=100)
        for _ in range(50):
            assert not self.watch(leases, clock, 25)
            assert lease.keep()

    def test_clocks_need_not_agree(self, tmp_path):
        ahead, behind = Clock(1e9), Clock(-1e9)
        lease = Leases(tmp_path, ahead).take("a", "one", "f", 100)
        observer = Leases(tmp_path, behind)
        for _ in range(40):
            ahead.now += 25
            behind.now += 25
            assert lease.keep()
            assert not observer.stale("a", observer.last("a"))

    def test_an_observer_that_slept_does_not_take_the_others_for_dead(self, leases, clock):
        leases.take("a", "one", "f", ttl=100)
        leases.stale("a", leases.last("a"))
        clock.now += 10_000
        assert not leases.stale("a", leases.last("a"))


class TestKeeping:
    def test_it_is_renewed_four_times_in_its_ttl(self, leases, clock):
        lease = leases.take("a", "one", "f", ttl=100)
        beats = []
        for _ in range(100):
            clock.now += 1
            assert lease.keep()
            beats.append(leases.last("a").beat)
        assert beats == [i // 25 for i in range(1, 101)]

    def test_a_holder_that_was_overtaken_learns_it_and_changes_nothing(self, leases, clock):
        lease = leases.take("a", "one", "f", 60)
        leases.take("a", "two", "f", 60, over=leases.last("a").digest)
        clock.now = 59
        assert not lease.keep()
        lease.end("finished")
        assert [(c.ticket, c.outcome, c.beat) for c in leases.claims("a")] == [("one", None, 0), ("two", None, 0)]

    def test_a_disk_that_fails_is_borne_for_one_ttl(self, leases, clock, monkeypatch):
        lease = leases.take("a", "one", "f", 60)

        def fail(draft, path):
            raise OSError("stale file handle")

        with monkeypatch.context() as patch:
            patch.setattr("os.replace", fail)
            clock.now = 59
            assert lease.keep()
            clock.now = 61
            assert not lease.keep()
        assert lease.keep()
        assert leases.last("a").beat == 1
