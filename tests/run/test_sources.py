"""What a run says of the files that its settings name."""

import pytest

from operant.run import sources


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("model.path", "two--dashes"),
        ("init_from", "who/what..where"),
        ("algo.expert", "operant.env.imitated:driver"),
        ("data.path", "two--dashes"),
    ],
)
def test_a_name_that_no_model_of_the_hub_can_have_stands_for_no_file(key, name):
    pytest.importorskip("huggingface_hub")  # once it is imported, names are looked up there
    assert sources._origin(key, name) is None
