"""A finished language-model run shared by the integration tests."""

import pytest

from books import SMALL, write_book
from running import Finished, trained


@pytest.fixture(scope="session")
def book_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run on text files, evaluated with every method; read-only."""
    home = tmp_path_factory.mktemp("book")
    (home / "data").mkdir()
    write_book(home / "books" / "one.txt", 60, seed=1)
    write_book(home / "books" / "two.txt", 20, seed=2)
    test = write_book(home / "test.txt", 12, seed=3)
    own = (f"task.data.path={home / 'books'}", f"task.data.test_path={test}", "task.data.validation_fraction=0.2")
    methods = ("task.eval_modes=[plain,cache,dynamic]", "task.head=adaptive", "task.cutoffs=[6,14]")
    return trained(home, "task=corpus", *own, *SMALL, *methods)
