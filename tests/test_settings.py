"""`key=value` words to settings."""

import pytest

from data.files import InputError
from v2ht.inputs import InputSettings
from v2ht.models.v2ht import V2HTSettings
from v2ht.settings import apply, as_json, restore
from v2ht.training.loop import TrainSettings


def test_words_reach_the_settings_that_own_them() -> None:
    model, inputs, training = apply(
        ["alpha=0.5", "propagation=false", "hidden=32,16", "relations=", "text_length=9", "learning_rate=1e-4"],
        [V2HTSettings(), InputSettings(), TrainSettings()],
    )
    assert (model.alpha, model.propagation, model.hidden, model.relations) == (0.5, False, (32, 16), ())
    assert inputs.text_length == 9
    assert training.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("alpa=0.5", r"--set 'alpa=0.5' is not KEY=VALUE with a known key; the keys are dim, .*learning_rate"),
        ("alpha", "--set 'alpha' is not KEY=VALUE"),
        ("alpha=much", "--set alpha=much: input should be a valid number"),
        ("dim=0", "--set dim=0: dim is 0; choose at least 1"),
        ("modalities=smell", "--set modalities=smell: modalities names 'smell'"),
        ("learning_rate=-1", "--set learning_rate=-1: learning_rate is -1.0; choose a positive number"),
    ],
)
def test_a_bad_word_stops_with_one_line(word: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        apply([word], [V2HTSettings(), InputSettings(), TrainSettings()])
    assert "\n" not in str(caught.value)


def test_settings_survive_json() -> None:
    settings = V2HTSettings(alpha=0.4, hidden=(8,), modalities=("text",))
    assert restore(V2HTSettings, as_json(settings), where="run.json") == settings
    with pytest.raises(InputError, match=r"run\.json: unknown setting 'beta'"):
        restore(V2HTSettings, {"beta": 1}, where="run.json")
