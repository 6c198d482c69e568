"""What is still in the cache when an article has been edited: the share of its characters, over six articles."""

import statistics

import pytest

from benchmarks import edits
from benchmarks.edits import Article, Edit
from benchmarks.reuse import greedy, groups, reused, sentences

ARTICLES = edits.articles()
TITLED = [article for article in ARTICLES if article.name != "tuning-by-ear"]
"""Those whose first chunk is a title; the other begins with a sentence that is too long for a first chunk."""


def mean(article: Article, edit: Edit) -> float:
    """Of the edit's variants."""
    return statistics.mean(reused(article, edit, sentences))


def test_there_are_articles_of_many_kinds():
    """Without articles, or with those of one kind, the figures below would say nothing."""
    assert len(ARTICLES) >= 6
    assert {article.language for article in ARTICLES} == {"en", "de"}
    assert all(len(article.text) > 4_500 for article in ARTICLES)


@pytest.mark.parametrize("article", TITLED, ids=lambda article: article.name)
@pytest.mark.parametrize("edit", [edits.sentence_before, edits.paragraph_before])
def test_a_sentence_at_the_start_costs_itself(article: Article, edit: Edit):
    """Whoever adds a line at the top would wait for the whole article again, and pay for it."""
    assert mean(article, edit) >= 0.98


@pytest.mark.parametrize("article", TITLED, ids=lambda article: article.name)
@pytest.mark.parametrize("edit", [edits.paragraph_deleted, edits.paragraphs_shuffled])
def test_paragraphs_that_go_or_move_cost_nothing(article: Article, edit: Edit):
    """A chunk that knows its neighbours' paragraphs would be made again when they change."""
    assert min(reused(article, edit, sentences)) == 1.0


@pytest.mark.parametrize("article", ARTICLES, ids=lambda article: article.name)
@pytest.mark.parametrize("edit", [edits.paragraph_deleted, edits.all_shuffled, edits.paragraph_before])
def test_another_beginning_costs_two_sentences(article: Article, edit: Edit):
    """The first chunk is cut on its own terms: what was cut so is lost, and what is now. The rest must stay."""
    assert min(reused(article, edit, sentences)) >= 0.95


def test_a_revised_sentence_costs_itself_and_short_neighbours():
    """Whoever goes over half of an article would pay for all of it. A chunk for each sentence would reach 0.882."""
    assert statistics.mean(mean(article, edits.half_revised) for article in ARTICLES) >= 0.88
    assert statistics.mean(mean(article, edits.half_rewritten) for article in ARTICLES) >= 0.7


def test_groups_are_found_again_behind_an_edit():
    """Groups that are packed full lose whole paragraphs for a word."""
    for article in ARTICLES:
        assert statistics.mean(reused(article, edits.sentence_before, groups)) >= 0.93
        assert min(reused(article, edits.paragraph_deleted, groups)) >= 0.93
        assert statistics.mean(reused(article, edits.half_revised, groups)) >= 0.6


def test_greedy_packing_is_what_it_is_said_to_be():
    """The figures beside ours in docs/performance.md would flatter us if the rival were broken."""
    for article in ARTICLES:
        packed = greedy(2_500)(article, article.text)
        assert max(map(len, packed)) <= 2_500
        assert min(map(len, packed[:-1])) > 2_000
        assert "".join("".join(packed).split()) == "".join(article.text.split())
