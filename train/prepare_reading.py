"""The first stage: the sources, a chunk at a time, to shards on disk, in several processes where it is worth it.

A chunk is the same rows whoever works on it, and however often the work was interrupted.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from itertools import chain, islice

from train.adapters import Found, Piece, records_of
from train.prepare_inputs import PIECE_BYTES, Input
from train.prepare_rows import Chunk, How, read_chunk
from train.prepare_shards import is_done, shard_path
from train.progress import Progress
from train.workers import Pool, ended

CHUNK_RECORDS = 2000  # of a file that is read here


def read_all(inputs: Sequence[Input], how: How, limit: int | None, workers: int, progress: Progress) -> None:
    """Read every source to its end; shards that are on disk already are not made again. Raises Stopped, RunError."""
    before = [sum(its.n_bytes for its in inputs[:number]) for number in range(len(inputs) + 1)]
    chunks: Iterator[tuple[Chunk, float]] = chain.from_iterable(
        _chunks(number, its, None if its.frozen else limit, before[number]) for number, its in enumerate(inputs)
    )
    progress.stage("Reading", before[-1])
    first = list(islice(chunks, 2))
    alone = workers < 2 or len(first) < 2  # starting processes takes longer than one chunk
    with ExitStack() as stack:
        pool = None if alone else stack.enter_context(Pool(workers))
        under_way: set[Future[None]] = set()
        for chunk, behind in chain(first, chunks):
            if not is_done(shard_path(how.work, chunk.source, chunk.number)):
                if pool is None:
                    read_chunk(chunk, how)
                else:
                    under_way.add(pool.submit(read_chunk, chunk, how))
            under_way = ended(under_way, 2 * workers)
            progress.at(behind)
        ended(under_way, 0)


def _chunks(number: int, its: Input, limit: int | None, before: int) -> Iterator[tuple[Chunk, float]]:
    """The source in chunks, with the bytes that are behind when each is. before: bytes of the sources before it."""
    for index, (pieces, items, behind) in enumerate(_split(its, limit)):
        yield Chunk(number, index, pieces, items, its.frozen), before + behind


def _split(its: Input, limit: int | None) -> Iterator[tuple[tuple[Piece, ...], list[Found] | None, float]]:
    """Pieces that a worker reads, or some records of one that is read here, with the bytes that are behind then."""
    small: list[Piece] = []
    gathered, behind = 0, 0.0
    left = limit
    for part in its.parts():
        if limit is None and part.is_small:
            small.append(part.piece)
            gathered += part.n_bytes
            behind += part.n_bytes
            if gathered >= PIECE_BYTES:
                yield tuple(small), None, behind
                small, gathered = [], 0
            continue
        found = islice(records_of(part.piece), left)
        while items := list(islice(found, CHUNK_RECORDS)):
            left = None if left is None else left - len(items)
            yield (part.piece,), items, behind + part.share_at(items[-1][0]) * part.n_bytes
        behind += part.n_bytes
    if small:
        yield tuple(small), None, behind
