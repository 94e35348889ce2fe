"""A query → ranked candidates: each modality is ranked for itself, calibrated, and merged into one list."""

from dataclasses import replace

import numpy as np

from ...spaces.space import Space
from ..store.filter import Filter
from ..store.lance import Store
from ..store.records import Candidate
from .query import Query
from .ranking import Ranking, by_relevance, by_score, lexical_boost, noisy_or, reciprocal_rank_fusion

MIN_CANDIDATES = 50
"""Candidates per modality before fusion, at least: what comes first depends on what else other modalities find."""


class Searcher:
    """Ranks a library's segments for queries in one space."""

    def __init__(self, store: Store, space: Space):
        self.store, self.space = store, space

    def search(self, query: Query, top: int, filter: Filter, group_by_file: bool = True) -> list[Candidate]:
        """Return the best files, as their best segments, best first; otherwise the best places in files.

        For words, cosines of different modalities do not compare; probabilities do, and where a space has none, ranks. For
        files all cosines compare.
        """
        contents = self.store.metadata.read()
        several = len(contents.modalities) > 1
        depth = max(top, MIN_CANDIDATES) if several else top
        phrase = query.phrase if contents.has_text else ""
        rankings = [
            self._ranking(query, phrase, modality, depth, replace(filter, modality=modality if several else ""), group_by_file)
            for modality in contents.modalities
        ]
        if not several:
            return rankings[0][:top]
        if not query.words_only:
            return by_score(rankings, group_by_file)[:top]
        if any(candidate.relevance is None for ranking in rankings for candidate in ranking):
            return reciprocal_rank_fusion(*rankings, group_by_file=group_by_file)[:top]
        return by_relevance([*rankings, noisy_or(rankings)], group_by_file)[:top]

    def _ranking(self, query: Query, phrase: str, modality: str, depth: int, filter: Filter, group_by_file: bool) -> Ranking:
        """Rank one modality by vectors and, where there is a phrase, by the words of texts; at a tie, words decide."""
        fingerprint = self.space.fingerprint
        by_vector = self.store.search(query.z, depth, fingerprint, filter, group_by_file)
        by_text = self.store.search_texts(phrase, query.z, depth, fingerprint, filter) if phrase else []
        if query.words_only:
            calibrated = self._calibrated([*by_vector, *by_text], query.z, modality)
            by_vector, by_text = calibrated[: len(by_vector)], lexical_boost(calibrated[len(by_vector) :], phrase)
        return reciprocal_rank_fusion(by_text, by_vector, group_by_file=group_by_file) if by_text else by_vector

    def _calibrated(self, candidates: Ranking, z: np.ndarray, modality: str) -> Ranking:
        """Return candidates with the probability that each is relevant, where the space is calibrated for the modality."""
        calibration = self.space.calibration(modality) if candidates else None
        if calibration is None:
            return candidates
        cohort, count = self.store.calibration_sample(z, self.space.fingerprint, modality)
        scores, z_hits = np.array([c.score for c in candidates]), np.stack([c.z for c in candidates])
        probabilities = calibration.probability(scores, z_hits, cohort, count)
        return [replace(c, relevance=round(float(p), 4)) for c, p in zip(candidates, probabilities)]
