"""`sluice generate`, `suggest`, `score` and `evaluate` with a language model."""

import math
from pathlib import Path

import pytest
import torch

from books import write_book
from running import Finished, error_of, joined, json_lines, sluice
from sluice.recipes.load import load_model


class TestMetrics:
    def test_score_matches_test_perplexity(self, book_run: Finished) -> None:
        (line,) = json_lines(sluice("score", book_run.folder, book_run.home / "test.txt", "--tokens", "--json"))
        assert line["perplexity"] == pytest.approx(book_run.results["test/perplexity"], rel=1e-6)
        assert line["tokenized"] is False
        logs = [log for _, log in line["log_probabilities"]]
        assert len(logs) == line["tokens"] == 12 * 14
        assert line["perplexity"] == pytest.approx(math.exp(-sum(logs) / len(logs)))
        words = [word for word, _ in line["log_probabilities"][:14]]
        assert words[:4] == ["The", words[1], ",", "it's"]
        assert words[-2:] == [".", "<eos>"]

    @pytest.mark.parametrize("method", ["plain", "cache", "dynamic"])
    def test_evaluate_method_matches_results(self, book_run: Finished, method: str) -> None:
        name = "test/perplexity" if method == "plain" else f"test/{method}_perplexity"
        (line,) = json_lines(sluice("evaluate", book_run.folder, "--method", method, "--json"))
        assert line["perplexity"] == pytest.approx(book_run.results[name], rel=1e-5)
        assert (line["method"], line["tokens"]) == (method, 12 * 14)

    def test_methods_give_different_perplexities(self, book_run: Finished) -> None:
        names = ("perplexity", "cache_perplexity", "dynamic_perplexity")
        assert len({book_run.results[f"test/{name}"] for name in names}) == 3


class TestGeneration:
    def test_seed_makes_generation_reproducible(self, book_run: Finished) -> None:
        asked = ("generate", book_run.folder, "--prompt", "The cat", "--tokens", "9", "--num", "2", "--json")
        first, again, other = (json_lines(sluice(*asked, "--seed", seed)) for seed in ("1", "1", "2"))
        assert first == again
        assert first != other
        assert len(first) == 2
        assert all(line["text"].startswith("The cat") and line["perplexity"] > 1 for line in first)

    @pytest.mark.parametrize("prompt", ["THE cat, it", "Zyx qwv\nthe 🙂", "the cat ", "the cat\n"], ids=repr)
    def test_prompt_is_printed_as_given(self, book_run: Finished, prompt: str) -> None:
        asked = ("generate", book_run.folder, "--prompt", prompt, "--tokens", "3", "--seed", "1")
        (line,) = json_lines(sluice(*asked, "--json"))
        assert line["prompt"] == prompt
        assert line["text"].startswith(prompt)
        ended = sluice(*asked)
        assert ended.out == line["text"] + "\n"
        assert "note: the prompt is tokenised by 'words' (--tokenized splits it at white space only)" in ended.err
        assert "note: the prompt" not in sluice(*asked[:2], "--tokens", "3").err

    def test_tokenised_and_raw_text_differ(self, book_run: Finished, tmp_path: Path) -> None:
        (tmp_path / "text.txt").write_text("The cat, it's said\n", encoding="utf-8")
        asked = ("score", book_run.folder, tmp_path / "text.txt")
        counted = {option: json_lines(sluice(*asked, option, "--json"))[0] for option in ("--raw", "--tokenized")}
        assert [(line["tokens"], line["tokenized"]) for line in counted.values()] == [(6, False), (5, True)]
        assert (
            "text.txt is split at white space, as already tokenised (--raw tokenises it)"
            in sluice(*asked, "--tokenized").err
        )
        (line,) = json_lines(sluice("suggest", book_run.folder, "The cat,", "--tokenized", "--top", "999", "--json"))
        assert len(line["next"]) == len(load_model(book_run.folder).vocab.tokens) - 1

    def test_beam_one_is_greedy(self, book_run: Finished) -> None:
        asked = ("generate", book_run.folder, "--prompt", "The fox", "--tokens", "6", "--json")
        (beam,) = json_lines(sluice(*asked, "--beam", "1"))
        (greedy,) = json_lines(sluice(*asked, "--top-k", "1"))
        assert beam["text"] == greedy["text"]
        assert beam["perplexity"] == pytest.approx(greedy["perplexity"], rel=1e-4)

    def test_no_unk_excludes_the_unknown_token(self, book_run: Finished) -> None:
        asked = ("--tokens", "200", "--temperature", "5", "--seed", "1")
        assert "<unk>" in sluice("generate", book_run.folder, *asked).out
        assert "<unk>" not in sluice("generate", book_run.folder, *asked, "--no-unk").out

    def test_suggestions_are_sorted_by_model_probability(self, book_run: Finished) -> None:
        (line,) = json_lines(sluice("suggest", book_run.folder, "The cat,", "--top", "100", "--json"))
        probabilities = [probability for _, probability in line["next"]]
        assert probabilities == sorted(probabilities, reverse=True)
        model = load_model(book_run.folder)
        ids = torch.tensor([model.vocab.encode(["<eos>", "The", "cat", ","])])
        expected = model.network.next_log_probabilities(model.network(ids))[0].exp().tolist()
        found = {word: probability for word, probability in line["next"] if probability}
        assert found == pytest.approx(
            {word: expected[index] for index, word in enumerate(model.vocab.tokens) if word != "<pad>"}, rel=1e-4
        )
        assert sum(found.values()) == pytest.approx(1)

    def test_suggest_continues_from_stdin_lines(self, book_run: Finished) -> None:
        typed = json_lines(sluice("suggest", book_run.folder, "--json", stdin="The\ncat,\n"))
        (whole,) = json_lines(sluice("suggest", book_run.folder, "The cat,", "--json"))
        assert [line["text"] for line in typed] == ["The", "The cat,"]
        assert typed[1] == whole

    def test_unknown_prompt_words_are_reported(self, book_run: Finished) -> None:
        ended = sluice("generate", book_run.folder, "--prompt", "xylophones zigzag", "--tokens", "5", "--seed", "1")
        assert ended.code == 0
        assert "no word of the prompt is in the vocabulary: xylophones, zigzag" in ended.err
        assert ended.out.strip()
        ended = sluice("generate", book_run.folder, "--prompt", "the zigzag", "--tokens", "5")
        assert "note: not in the vocabulary: zigzag" in ended.err
        ended = sluice("suggest", book_run.folder, " ".join(f"zig{number}" for number in range(30)))
        assert ", zig19 and 10 more\n" in ended.err

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--temperature", "0"), "the temperature must be above 0 and finite, got 0"),
            (("--temperature", "-1"), "the temperature must be above 0 and finite, got -1"),
            (("--top-k", "0"), "top-k must be at least 1, got 0"),
            (("--top-p", "2"), "top-p must lie in (0, 1], got 2"),
        ],
        ids=joined,
    )
    def test_out_of_range_options_are_reported(self, book_run: Finished, options: tuple[str, ...], words: str) -> None:
        assert words in error_of(sluice("generate", book_run.folder, *options))

    def test_checkpoint_of_another_task_is_refused(
        self, book_run: Finished, finished: Finished, tmp_path: Path
    ) -> None:
        file = write_book(tmp_path / "text.txt", 1, seed=1)
        for asked in (
            ("generate", finished.folder),
            ("suggest", finished.folder, "a"),
            ("score", finished.folder, file),
        ):
            assert "of task=imdb classifies" in error_of(sluice(*asked))
        error = error_of(sluice("predict", book_run.folder, "good"))
        assert "of task=corpus generates text" in error
        assert f"sluice generate {book_run.folder}" in error

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "is empty: it has no words to score"),
            (b"f\xe4r\n", "is not UTF-8 at byte 1"),
            (None, "no such file"),
        ],
        ids=["empty", "latin", "missing"],
    )
    def test_invalid_file_to_score_is_reported(
        self, book_run: Finished, tmp_path: Path, content: bytes | None, words: str
    ) -> None:
        if content is not None:
            (tmp_path / "text.txt").write_bytes(content)
        assert words in error_of(sluice("score", book_run.folder, tmp_path / "text.txt"))
