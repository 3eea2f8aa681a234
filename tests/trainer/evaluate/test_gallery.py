from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from server.domain import AlignmentTemplate
from trainer.data.catalog import Catalog
from trainer.errors import DatasetError
from trainer.evaluate.gallery import Embedded, Identified, identification_markdown, identify, make_trial
from trainer.evaluate.identification import Labelled, OpenSet, open_set, rank_one
from trainer.evaluate.proportion import wilson

TEMPLATE = AlignmentTemplate(4, 4, ((1.0, 1.0), (3.0, 1.0), (2.0, 2.0), (1.0, 3.0), (3.0, 3.0)))


def catalog(folder, **counts):
    names = tuple(counts)
    labels = np.repeat(np.arange(len(names)), list(counts.values()))
    paths = tuple(Path(folder, names[label], f"{place}.png") for place, label in enumerate(labels))
    return Catalog(paths, labels.astype(np.int64), names)


def trial(gallery, probes, strangers=None, each=2):
    return make_trial(gallery, probes, strangers, template=TEMPLATE, each=each)


def test_the_first_crops_of_each_person_are_enrolled_and_probes_know_whose_they_are():
    found = trial(catalog("g", ann=3, bo=1, cy=2), catalog("p", zoe=1, cy=2, ann=1))
    assert [path.as_posix() for path in found.enrolled.paths] == [
        *("g/ann/0.png", "g/ann/1.png", "g/bo/3.png", "g/cy/4.png", "g/cy/5.png"),
    ]
    # zoe is not enrolled, so that she cannot be found
    assert [found.enrolled.identities[person] for person in found.people] == ["cy", "cy", "ann"]
    assert found.probes.identities == ("cy", "ann")


def test_probes_of_nobody_who_is_enrolled_are_refused():
    with pytest.raises(DatasetError, match="none of the 1 people"):
        trial(catalog("g", ann=2), catalog("p", bo=1))


def test_a_probe_that_is_enrolled_itself_is_refused():
    with pytest.raises(DatasetError, match=r"g/ann/0\.png is enrolled and a probe"):
        trial(catalog("g", ann=2), catalog("g", ann=1))


def test_a_probe_that_is_enrolled_under_another_spelling_of_its_path_is_refused():
    with pytest.raises(DatasetError, match=r"g/ann/0\.png is enrolled and a probe"):
        trial(catalog("g", ann=2), catalog(Path("g").absolute(), ann=1))


def test_a_stranger_who_is_enrolled_is_refused():
    with pytest.raises(DatasetError, match="'bo' is enrolled and thus no stranger"):
        trial(catalog("g", ann=2, bo=1), catalog("p", ann=1), catalog("s", bo=1))


def embedded(name, seed, *, strangers=True, dimension=6, noise=0.5):
    drawn = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(5, dimension))

    def unit(points):
        return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)

    def faces(count):
        labels = np.arange(count) % 5
        return Labelled(unit(centres[labels] + noise * drawn.normal(size=(count, dimension))), labels)

    others = unit(drawn.normal(size=(40, dimension))) if strangers else None
    return Embedded(name, faces(10), faces(20), others)


def test_one_models_probes_are_looked_up_in_the_others_gallery():
    new, old = embedded("new", 1), embedded("old", 2)
    found = identify(new, old, far=0.1)
    assert (found.probes, found.gallery) == ("new", "old")
    assert found.rank_one == rank_one(old.gallery, new.probes)
    assert found.open_set == open_set(old.gallery, new.probes, new.strangers, target=0.1)


def test_models_of_different_dimensions_are_refused():
    with pytest.raises(DatasetError, match="new has embeddings of 6 dimensions and old of 7"):
        identify(embedded("new", 1), embedded("old", 2, dimension=7), far=0.1)


def share(successes):
    return wilson(successes, 10)


def opened(named, far=0.1):
    return OpenSet(far, 1.0, share(named), share(0), share(1))


def test_the_table_compares_the_first_row_with_the_last():
    new, old = embedded("new", 1, noise=1.0), embedded("old", 2)
    rows = [identify(new, old, far=0.1), identify(old, old, far=0.1)]
    text = identification_markdown(rows)
    assert f"{rows[0].rank_one.value / rows[1].rank_one.value:.1%} as often as old itself" in text
    share = rows[0].open_set.identified.value / rows[1].open_set.identified.value
    assert f"names them {share:.1%} as often while 10% of the strangers are named" in text


@pytest.mark.parametrize(("far", "said"), [(0.001, "0.1%"), (0.0125, "1.25%"), (0.1, "10%")])
def test_the_share_of_strangers_is_said_as_it_was_asked_for(far, said):
    one, other = (Identified(name, "old", share(9), opened(8, far)) for name in ("new", "old"))
    assert f"while {said} of the strangers" in identification_markdown([one, other])


def test_a_model_that_finds_or_names_nobody_is_not_compared_with():
    new = Identified("new", "old", share(9), opened(8))
    nobody_named = identification_markdown([new, Identified("old", "old", share(5), opened(0))])
    assert "180.0% as often as old itself, which names nobody while 10% of the strangers are named." in nobody_named
    nobody_found = identification_markdown([new, Identified("old", "old", share(0), opened(0))])
    assert "old itself never puts the right person first" in nobody_found


def test_without_strangers_there_is_no_threshold():
    one = embedded("one", 1, strangers=False)
    text = identification_markdown([identify(one, one, far=0.1)])
    assert "threshold" not in text
    assert f"| one | one | {rank_one(one.gallery, one.probes).value:.2%} |" in text
