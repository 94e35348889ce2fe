"""A query → ranked candidates: each modality is ranked and calibrated separately, then all are merged into one list."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...spaces.space import Space
from ..store.concepts import ConceptFile
from ..store.filter import Filter
from ..store.lance import Store
from ..store.marks import Contents, Marks
from ..store.records import TEXT, Candidate, Grouping
from ..store.words import CERTAIN
from .negation import negations
from .query import Query, QueryEncoder, Weighted, names_file
from .ranking import Ranking, by_relevance, by_score, lexical_boost, noisy_or, reciprocal_rank_fusion

if TYPE_CHECKING:
    from .concepts import Concepts
    from .learning import LearntQuery
    from .space_map import SpaceMap
    from .where import Names

MIN_CANDIDATES = 50
"""Fewest candidates per modality before fusion: otherwise the first hits would depend on how many are asked for."""


class Searcher:
    """Ranks a library's segments for queries in one space."""

    def __init__(self, store: Store, space: Space):
        self._marks = Marks(store.location)
        self._store, self._space, self._queries = store, space, QueryEncoder(space, self._learnt)
        self._concept_file = ConceptFile(store.location)

    @cached_property
    def concepts(self) -> "Concepts":
        """The words that people taught the library."""
        from .concepts import Concepts  # few libraries have any

        return Concepts(self._store, self._space, self._concept_file)

    @cached_property
    def map(self) -> "SpaceMap":
        """The library in two dimensions."""
        from .space_map import SpaceMap

        return SpaceMap(self._store, self._space)

    def names(self, marks: Contents) -> "Names":
        """Return what names in conditions are looked up in."""
        from .where import Names  # with the conditions and their parser, which words need none of

        return Names(marks, self.concepts, self.map, self._store.paths_meeting)

    def _learnt(self, phrase: str) -> "LearntQuery | None":
        return self.concepts.query(phrase) if self._concept_file.read() else None

    def search(
        self,
        text: str,
        top: int,
        filter: Filter,
        where: str,
        files: bool,
        extra_vectors: Sequence[Weighted],
        group_by: Grouping,
        meant: Sequence[str] = (),
        not_meant: Sequence[str] = (),
    ) -> list[Candidate]:
        """Return the best files for a query, as their best segments, best first; otherwise the best places in files.

        A query of conditions alone, or a filter without words, gives the files that meet them, newest first. Arguments and errors are those of Library.search and QueryEncoder.query.
        """
        names_media = files and names_file(text)
        marks = self._marks.read()
        if marks.files or where.strip() or (":" in text and not names_media):
            from .where import narrowed, split

            names = self.names(marks)
            filter = narrowed(filter, where, names, text)
            if not names_media:
                text, condition = split(text, names)
                filter = filter.narrowed(condition)
        if not (text.strip() or extra_vectors or meant) and filter != Filter():
            return [Candidate.listed(segment) for segment in self._store.newest(self._space.fingerprint, filter, top, group_by)]
        query = self._query(text, files, extra_vectors, meant, not_meant)
        return self._ranked(query, top, replace(filter, without=filter.without + query.files), group_by, marks)

    def _query(
        self, text: str, files: bool, extra_vectors: Sequence[Weighted], meant: Sequence[str], not_meant: Sequence[str]
    ) -> Query:
        """Return a query, as some of its hits say it is meant. Raises as QueryEncoder.query."""
        if not (text.strip() or extra_vectors) and (learnt := self.concepts.feedback(None, meant, not_meant)):
            return Query((), learnt.z, True, learnt=learnt)
        query = self._queries.query(text, files, extra_vectors)
        if not (meant or not_meant):
            return query
        z = query.learnt.z if query.learnt else query.z
        return replace(query, learnt=self.concepts.feedback(z, meant, not_meant) or query.learnt)

    def _ranked(self, query: Query, top: int, filter: Filter, group_by: Grouping, marks: Contents) -> list[Candidate]:
        """Rank each modality and, for words, what they stand in; and merge the rankings.

        For words, cosines of different modalities are not comparable: they are merged by relevance, or by rank in a space
        without calibration. For queries with files they are merged by cosine.
        """
        modalities = self._store.metadata.read().modalities
        depth = max(top, MIN_CANDIDATES) if len(modalities) > 1 else top
        filters = [replace(filter, modality=modality if len(modalities) > 1 else "") for modality in modalities]
        rankings = [self._ranking(query, modality, depth, one, group_by) for modality, one in zip(modalities, filters)]
        by_words = self._by_words(query, depth, filter, marks, group_by) if query.phrase else []
        # what is written in a passage is the same evidence as the passage itself
        independent = [*rankings, [candidate for candidate in by_words if candidate.segment.modality != TEXT]]
        rankings = [ranking for ranking in (by_words, *rankings) if ranking]
        if len(rankings) <= 1:
            return Candidate.first_of_each([candidate for ranking in rankings for candidate in ranking], group_by)[:top]
        if not query.words_only:
            return by_score(rankings, group_by)[:top]
        if any(candidate.relevance is None for ranking in rankings for candidate in ranking):
            rankings = [[replace(candidate, relevance=None) for candidate in ranking] for ranking in rankings]
            return reciprocal_rank_fusion(*rankings, group_by=group_by)[:top]
        return by_relevance([*rankings, noisy_or(independent)], group_by)[:top]

    def _ranking(self, query: Query, modality: str, depth: int, filter: Filter, group_by: Grouping) -> Ranking:
        """Rank one modality by its vectors, and texts also by their words; at a tie, words decide."""
        fingerprint = self._space.fingerprint
        unknown = bool(query.phrase) and self._queries.says_nothing(query.terms[0])
        if unknown and modality != TEXT:
            return []
        learnt = query.learnt if query.learnt and query.learnt.modality == modality else None
        by_vector = [] if unknown else self._store.search(learnt.z if learnt else query.z, depth, fingerprint, filter, group_by)
        if learnt:
            return self._judged(by_vector, learnt)
        with_words = modality == TEXT and query.phrase
        by_text = self._store.search_texts(query.phrase, query.z, depth, fingerprint, filter) if with_words else []
        if query.words_only:
            calibrated = self._rated([*by_vector, *by_text], query, modality)
            by_vector, by_text = calibrated[: len(by_vector)], lexical_boost(calibrated[len(by_vector) :], query.phrase)
        return reciprocal_rank_fusion(by_text, by_vector, group_by=group_by) if by_text else by_vector

    def _judged(self, candidates: Ranking, learnt: "LearntQuery") -> Ranking:
        """Return candidates with the probability that each is all that was learnt, and what the other words say.

        Only their order is known where the other words have no probability in this space, or what is not meant is all that is said.
        """
        by_words = candidates
        if candidates and learnt.rest is not None:
            by_words = self._calibrated(self._scored(candidates, learnt.rest), learnt.rest, learnt.modality)
        if not candidates or not learnt.directions or (learnt.rest is not None and by_words[0].relevance is None):
            return candidates
        ids, z = [candidate.segment.id for candidate in candidates], np.stack([candidate.z for candidate in candidates])
        p = np.prod([direction.probability(ids, z) for direction in learnt.directions], axis=0)
        p = p * [1.0 if learnt.rest is None else candidate.relevance for candidate in by_words]
        judged = [replace(candidate, relevance=round(float(one), 4)) for candidate, one in zip(candidates, p)]
        return sorted(judged, key=lambda candidate: -(candidate.relevance or 0))

    def _by_words(self, query: Query, depth: int, filter: Filter, marks: Contents, group_by: Grouping) -> Ranking:
        """Rank what has words of a phrase in it, or in what people said of it, by the relevance of these words."""
        fingerprint, own = self._space.fingerprint, marks.saying(query.phrase)
        by_words = self._store.search_words(query.phrase, query.z, depth, fingerprint, filter, group_by)
        marked = self._store.search(query.z, depth, fingerprint, filter.narrowed(own), group_by) if own.paths else []
        found = [*(replace(candidate, relevance=CERTAIN) for candidate in marked), *by_words]
        return sorted(found, key=lambda candidate: -(candidate.relevance or 0))

    def _rated(self, candidates: Ranking, query: Query, modality: str) -> Ranking:
        """Return candidates with the probability that each is all that is added in a query of words, and nothing that is subtracted.

        None is given where words say "no" or "without", which the text tower reads past.
        """
        if not candidates or negations(query.phrase):
            return candidates
        against = [z for term, z in zip(query.terms, query.vectors) if term.weight < 0]
        if not against:
            return self._calibrated(candidates, query.z, modality)
        wanted = sum((t.weight * z for t, z in zip(query.terms, query.vectors) if t.weight > 0), np.zeros_like(query.z))
        length = float(np.linalg.norm(wanted))
        parts = [self._calibrated(self._scored(candidates, z), z, modality) for z in (wanted / max(length, 1e-12), *against)]
        if parts[0][0].relevance is None:
            return candidates
        p_wanted, *p_against = (np.array([candidate.relevance for candidate in part], np.float64) for part in parts)
        p = (p_wanted if length else 1.0) * np.prod([1 - one for one in p_against], axis=0)
        return [replace(candidate, relevance=round(float(one), 4)) for candidate, one in zip(candidates, p)]

    @staticmethod
    def _scored(candidates: Ranking, z: np.ndarray) -> Ranking:
        """Return candidates with their cosines to another vector."""
        return [replace(candidate, score=float(candidate.z @ z)) for candidate in candidates]

    def _calibrated(self, candidates: Ranking, z: np.ndarray, modality: str) -> Ranking:
        """Return candidates with the probability that each is relevant, where the space is calibrated for the modality."""
        calibration = self._space.calibration(modality) if candidates else None
        if calibration is None:
            return candidates
        cohort, count = self._store.calibration_sample(z, self._space.fingerprint, modality)
        scores, z_hits = np.array([c.score for c in candidates]), np.stack([c.z for c in candidates])
        probabilities = calibration.probability(scores, z_hits, cohort, count)
        return [replace(c, relevance=round(float(p), 4)) for c, p in zip(candidates, probabilities)]
