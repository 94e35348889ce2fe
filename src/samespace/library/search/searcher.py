"""A query → ranked candidates: each modality is ranked and calibrated separately, then all are merged into one list."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...spaces.space import Space
from ..store.filter import Filter
from ..store.lance import Store
from ..store.records import Candidate
from .query import Query, QueryEncoder, Weighted
from .ranking import Ranking, by_relevance, by_score, lexical_boost, noisy_or, reciprocal_rank_fusion

MIN_CANDIDATES = 50
"""Fewest candidates per modality before fusion: otherwise the first hits would depend on how many are asked for."""


class Searcher:
    """Ranks a library's segments for queries in one space."""

    def __init__(self, store: Store, space: Space):
        self._store, self._space, self._queries = store, space, QueryEncoder(space)

    def search(
        self, text: str, top: int, filter: Filter, files: bool, extra_vectors: Sequence[Weighted], group_by_file: bool
    ) -> list[Candidate]:
        """Return the best files for a query, as their best segments, best first; otherwise the best places in files.

        Arguments and errors are those of Library.search and QueryEncoder.query.
        """
        query = self._queries.query(text, files, extra_vectors)
        return self._ranked(query, top, replace(filter, without=filter.without + query.files), group_by_file)

    def _ranked(self, query: Query, top: int, filter: Filter, group_by_file: bool) -> list[Candidate]:
        """Rank each modality, and merge the rankings.

        For words, cosines of different modalities are not comparable: they are merged by relevance, or by rank in a space
        without calibration. For queries with files they are merged by cosine.
        """
        contents = self._store.metadata.read()
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
        """Rank one modality by its vectors and, where there is a phrase, by the words of its texts; at a tie, words decide."""
        fingerprint = self._space.fingerprint
        by_vector = self._store.search(query.z, depth, fingerprint, filter, group_by_file)
        by_text = self._store.search_texts(phrase, query.z, depth, fingerprint, filter) if phrase else []
        if query.words_only:
            calibrated = self._calibrated([*by_vector, *by_text], query.z, modality)
            by_vector, by_text = calibrated[: len(by_vector)], lexical_boost(calibrated[len(by_vector) :], phrase)
        return reciprocal_rank_fusion(by_text, by_vector, group_by_file=group_by_file) if by_text else by_vector

    def _calibrated(self, candidates: Ranking, z: np.ndarray, modality: str) -> Ranking:
        """Return candidates with the probability that each is relevant, where the space is calibrated for the modality."""
        calibration = self._space.calibration(modality) if candidates else None
        if calibration is None:
            return candidates
        cohort, count = self._store.calibration_sample(z, self._space.fingerprint, modality)
        scores, z_hits = np.array([c.score for c in candidates]), np.stack([c.z for c in candidates])
        probabilities = calibration.probability(scores, z_hits, cohort, count)
        return [replace(c, relevance=round(float(p), 4)) for c, p in zip(candidates, probabilities)]
