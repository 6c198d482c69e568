"""What a speech is kept with."""

from app.speech.manifest import MOST_LABELS, Manifest
from app.speech.plan import owned_by
from cache.labels import Label


def test_the_labels_of_who_asks_last_are_all_kept():
    """A speech that many tags were put on could not be found by its voice or owner, and would outlive a purge."""
    own = (owned_by("ada"), Label("voice", "narrator"))
    kept = Manifest("mp3", 24_000, (), labels=own)
    for number in range(2 * MOST_LABELS):
        asked = Manifest("mp3", 24_000, (), labels=(*own, Label("tag", str(number))))
        kept = asked.also_labelled(kept)
        assert set(asked.labels) <= set(kept.labels)
    assert len(kept.labels) == MOST_LABELS
