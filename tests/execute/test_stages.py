from hypothesis import given
from hypothesis import strategies as st

from dupl.config.prefix import at, common
from dupl.execute.stages import Fork, forks_of


def test_each_run_forks_from_the_earlier_run_with_the_longest_common_beginning():
    runs = {
        "full": {20: "a", 50: "b", 60: "c", 100: "d"},
        "no late part": {20: "a", 50: "b", 100: "c"},
        "other middle": {20: "a", 100: "e"},
        "alone": {100: "f"},
        "as other middle": {20: "a", 70: "e", 100: "g"},
    }
    forks = forks_of(runs)
    assert forks == {
        "no late part": Fork("full", 60),
        "other middle": Fork("full", 20),
        "as other middle": Fork("other middle", 70),
    }
    trained = [max(digests) - (forks[name].iteration if name in forks else 0) for name, digests in runs.items()]
    assert sum(trained) == 100 + 40 + 80 + 100 + 30


def test_the_first_run_that_trains_a_part_is_the_one_that_others_fork_from():
    runs = {"one": {30: "a", 100: "b"}, "two": {30: "a", 100: "c"}, "three": {30: "a", 100: "d"}}
    assert forks_of(runs) == {"two": Fork("one", 30), "three": Fork("one", 30)}


def test_runs_of_different_length_that_share_a_digest_fork_at_the_end_of_the_shorter():
    assert forks_of({"long": {100: "a"}, "short": {40: "a", 100: "b"}}) == {"short": Fork("long", 40)}


def test_a_fork_that_saves_too_little_is_left_out():
    runs = {"one": {5: "a", 100: "b"}, "two": {5: "a", 100: "c"}}
    assert forks_of(runs, least=0.05) == {"two": Fork("one", 5)}
    assert forks_of(runs, least=0.06) == {}


@st.composite
def studies(draw):
    """Runs as paths of a tree: a run is a list of parts, each with a length and a choice of what begins to act."""
    found = {}
    for index in range(draw(st.integers(1, 8))):
        digests, path, t = {}, "", 0
        for length, choice in draw(st.lists(st.tuples(st.integers(1, 3), st.sampled_from("xyz")), min_size=1)):
            # what acts is named with the iteration from which on it acts, as in a config
            path, t = f"{path}{choice}@{t} ", t + length
            digests[t] = path
        digests[t + 50] = f"{path}end@{t}"
        found[str(index)] = digests
    return found


@given(studies())
def test_no_part_is_trained_twice_and_each_fork_is_the_longest_there_is(runs):
    forks, names = forks_of(runs), list(runs)
    for index, name in enumerate(names):
        best = max((common(runs[name], runs[other]) for other in names[:index]), default=0)
        assert (forks[name].iteration if name in forks else 0) == best
        if name in forks:
            assert common(runs[name], runs[forks[name].parent]) == best


@given(studies())
def test_a_checkpoint_serves_another_run_where_both_have_the_same_digest(runs):
    for one in runs.values():
        for other in runs.values():
            for t in range(1, min(max(one), max(other)) + 1):
                assert (at(one, t) == at(other, t)) == (t <= common(one, other))
