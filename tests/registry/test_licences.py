"""What a model inherits from what it was made from."""

import pytest

from coat_ray.registry.licences import Ingredient, inherit

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
