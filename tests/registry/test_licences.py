"""What a model inherits from what it was made from."""

import pytest

from coat_ray.registry.licences import Ingredient, Terms, inherit, is_commercial, objection

BASE = Ingredient("base", "small", "Apache-2.0", commercial_use=True)
CORPUS = Ingredient("corpus", "world", "CC0-1.0", commercial_use=True)
NON_COMMERCIAL = Ingredient("expert", "spidr", "CC BY-NC 4.0", commercial_use=False)


def test_free_parts_make_a_free_model():
    terms = inherit([BASE, CORPUS])
    assert terms.commercial_use
    assert terms.because == ()
    assert terms.licence == "Apache-2.0 + CC0-1.0"


@pytest.mark.parametrize("order", [[BASE, CORPUS, NON_COMMERCIAL], [NON_COMMERCIAL, BASE, CORPUS]])
def test_one_non_commercial_expert_makes_a_non_commercial_model_wherever_it_stands(order):
    terms = inherit(order)
    assert not terms.commercial_use
    assert terms.because == ("expert spidr (CC BY-NC 4.0)",)
    assert "CC BY-NC 4.0" in terms.licence


def test_every_ingredient_that_forbids_is_named():
    other = Ingredient("base", "flamingo", "research only", commercial_use=False)
    assert len(inherit([other, NON_COMMERCIAL, CORPUS]).because) == 2


def test_a_licence_is_listed_once():
    assert inherit([BASE, Ingredient("expert", "pitch", "Apache-2.0", commercial_use=True)]).licence == "Apache-2.0"


def test_unknown_terms_are_not_free_terms():
    with pytest.raises(ValueError, match="expert 'mystery' states no licence"):
        inherit([BASE, Ingredient("expert", "mystery", " ", commercial_use=True)])


def test_a_model_made_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one thing"):
        inherit([])


@pytest.mark.parametrize("licence", ["CC BY-NC 4.0", "cc-by-nc-4.0", "NVIDIA OneWay Noncommercial", "not stated"])
def test_words_that_forbid_commercial_use_are_known(licence):
    assert not is_commercial(licence)


@pytest.mark.parametrize("licence", ["CC0-1.0", "Apache-2.0", "CC BY 4.0", "MIT", "once"])
def test_words_that_forbid_nothing_are_known(licence):
    assert is_commercial(licence)


def test_free_things_are_shared_without_a_word():
    assert objection("trial@1", inherit([BASE, CORPUS]), non_commercial=False) is None


def test_a_non_commercial_thing_is_shared_with_who_is_bound_to_it_and_the_sentence_names_what_restricts():
    terms = inherit([BASE, NON_COMMERCIAL])
    sentence = objection("trial@1", terms, non_commercial=False)
    assert sentence is not None
    assert "trial@1" in sentence
    assert "expert spidr (CC BY-NC 4.0)" in sentence
    assert "non_commercial" in sentence
    assert objection("trial@1", terms, non_commercial=True) is None


@pytest.mark.parametrize(
    "licence", ["CC BY-ND 4.0", "CC-BY-NC-ND-4.0", "proprietary", "No redistribution", "not stated"]
)
def test_what_may_not_be_handed_on_is_not_shared_whatever_is_said(licence):
    terms = inherit([BASE, Ingredient("corpus", "calls", licence, commercial_use=is_commercial(licence))])
    for said in (False, True):
        assert f"its licence {licence!r} does not let it" in str(objection("trial@1", terms, non_commercial=said))


BOUND = [
    "CC-BY-NC-4.0",
    "cc_by_nc_4.0",
    "CC-BY-NC4.0",
    "CC BY-NC-SA 3.0",
    "ccbync",
    "CCBYNC4",
    "CC-BY-SA-NC",
    "Attribution Non Commercial",
    "Attribution-NonCommercial 4.0 International",
    "NON_COMMERCIAL use",
    "non\u2011commercial",
    "\uff23\uff23-BY-\uff2e\uff23",
    "not for commercial use",
    "no commercial use",
    "PolyForm-Noncommercial-1.0.0",
    "MIT for research only",
    "not stated",
]
OPEN = [
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "NCSA",
    "University of Illinois/NCSA Open Source License",
    "MIT License",
    "licence",
    "sync-1.0",
    "Apache-2.0",
    "ISC",
    "AFL-3.0 (Academic Free License)",
    "commercial use allowed",
]
KEPT = [
    "CC-BY-ND-4.0",
    "cc_by_nd_4.0",
    "CC-BY-ND4.0",
    "CC BY-NC-ND 4.0",
    "ccbyncnd",
    "No Derivatives",
    "Attribution-NoDerivs",
    "no_derivatives",
    "no redistribution",
    "non-redistributable",
    "not  for redistribution",
    "Proprietary",
    "All Rights Reserved",
    "not stated",
]
HANDED_ON = ["CC-BY-4.0", "Apache-2.0, 2nd edition", "band", "Android SDK", "NDA-free", "derivatives allowed"]


@pytest.mark.parametrize(("licence", "commercial"), [*((x, False) for x in BOUND), *((x, True) for x in OPEN)])
def test_commercial_use_is_read_from_every_spelling(licence, commercial):
    assert is_commercial(licence) is commercial


@pytest.mark.parametrize(("licence", "kept"), [*((x, True) for x in KEPT), *((x, False) for x in HANDED_ON)])
def test_what_may_not_be_handed_on_is_read_from_every_spelling(licence, kept):
    said = objection("model m", Terms(licence, commercial_use=True, because=()), non_commercial=True)
    assert (said is not None) is kept
