"""A query → ranked candidates: each modality is ranked and calibrated separately, then all are merged into one list."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...spaces.space import Space
from ..store.filter import Filter
from ..store.lance import Store
from ..store.marks import Contents, Marks
from ..store.records import TEXT, Candidate, Grouping
from ..store.words import CERTAIN
from .query import Query, QueryEncoder, Weighted, names_file
from .ranking import Ranking, by_relevance, by_score, lexical_boost, noisy_or, reciprocal_rank_fusion

MIN_CANDIDATES = 50
"""Fewest candidates per modality before fusion: otherwise the first hits would depend on how many are asked for."""


class Searcher:
    """Ranks a library's segments for queries in one space."""

    def __init__(self, store: Store, space: Space):
        self._store, self._space, self._queries = store, space, QueryEncoder(space)

    def search(
        self, text: str, top: int, filter: Filter, where: str, files: bool, extra_vectors: Sequence[Weighted], group_by: Grouping
    ) -> list[Candidate]:
        """Return the best files for a query, as their best segments, best first; otherwise the best places in files.

        A query of conditions alone, or a filter without words, gives the files that meet them, newest first. Arguments and errors are those of Library.search and QueryEncoder.query.
        """
        names_media = files and names_file(text)
        marks = Marks(self._store.location).read()
        if marks.files or where.strip() or (":" in text and not names_media):
            from .where import narrowed, split  # with the conditions and their parser, which words need none of

            filter = narrowed(filter, where, marks, text)
            if not names_media:
                text, condition = split(text, marks)
                filter = filter.narrowed(condition)
        if not (text.strip() or extra_vectors) and filter != Filter():
            return [Candidate.listed(segment) for segment in self._store.newest(self._space.fingerprint, filter, top, group_by)]
        query = self._queries.query(text, files, extra_vectors)
        return self._ranked(query, top, replace(filter, without=filter.without + query.files), group_by, marks)

    def _ranked(self, query: Query, top: int, filter: Filter, group_by: Grouping, marks: Contents) -> list[Candidate]:
        """Rank each modality and, for words, what they stand in; and merge the rankings.

        For words, cosines of different modalities are not comparable: they are merged by relevance, or by rank in a space
        without calibration. For queries with files they are merged by cosine.
        """
        modalities = self._store.metadata.read().modalities
        depth = max(top, MIN_CANDIDATES) if len(modalities) > 1 else top
        filters = [replace(filter, modality=modality if len(modalities) > 1 else "") for modality in modalities]
        rankings = [self._ranking(query, modality, depth, one, group_by) for modality, one in zip(modalities, filters)]
        by_words = self._by_words(query, depth, filter, marks) if query.phrase else []
        # what is written in a passage is the same evidence as the passage itself
        independent = [*rankings, [candidate for candidate in by_words if candidate.segment.modality != TEXT]]
        rankings = [ranking for ranking in (by_words, *rankings) if ranking]
        if len(rankings) <= 1:
            return [candidate for ranking in rankings for candidate in ranking][:top]
        if not query.words_only:
            return by_score(rankings, group_by)[:top]
        if any(candidate.relevance is None for ranking in rankings for candidate in ranking):
            rankings = [[replace(candidate, relevance=None) for candidate in ranking] for ranking in rankings]
            return reciprocal_rank_fusion(*rankings, group_by=group_by)[:top]
        return by_relevance([*rankings, noisy_or(independent)], group_by)[:top]

    def _ranking(self, query: Query, modality: str, depth: int, filter: Filter, group_by: Grouping) -> Ranking:
        """Rank one modality by its vectors, and texts also by their words; at a tie, words decide."""
        fingerprint = self._space.fingerprint
        by_vector = self._store.search(query.z, depth, fingerprint, filter, group_by)
        with_words = modality == TEXT and query.phrase
        by_text = self._store.search_texts(query.phrase, query.z, depth, fingerprint, filter) if with_words else []
        if query.words_only:
            calibrated = self._calibrated([*by_vector, *by_text], query.z, modality)
            by_vector, by_text = calibrated[: len(by_vector)], lexical_boost(calibrated[len(by_vector) :], query.phrase)
        return reciprocal_rank_fusion(by_text, by_vector, group_by=group_by) if by_text else by_vector

    def _by_words(self, query: Query, depth: int, filter: Filter, marks: Contents) -> Ranking:
        """Rank what has words of a phrase in it, or in what people said of it, by the relevance of these words."""
        fingerprint, own = self._space.fingerprint, marks.saying(query.phrase)
        by_words = self._store.search_words(query.phrase, query.z, depth, fingerprint, filter)
        marked = self._store.search(query.z, depth, fingerprint, filter.narrowed(own)) if own.paths else []
        found = [*(replace(candidate, relevance=CERTAIN) for candidate in marked), *by_words]
        return sorted(found, key=lambda candidate: -(candidate.relevance or 0))

    def _calibrated(self, candidates: Ranking, z: np.ndarray, modality: str) -> Ranking:
        """Return candidates with the probability that each is relevant, where the space is calibrated for the modality."""
        calibration = self._space.calibration(modality) if candidates else None
        if calibration is None:
            return candidates
        cohort, count = self._store.calibration_sample(z, self._space.fingerprint, modality)
        scores, z_hits = np.array([c.score for c in candidates]), np.stack([c.z for c in candidates])
        probabilities = calibration.probability(scores, z_hits, cohort, count)
        return [replace(c, relevance=round(float(p), 4)) for c, p in zip(candidates, probabilities)]
