"""Let one process at a time do something: a lock file, locked by the system and renewed by its holder.

`hold` is the only mutual exclusion of this package. It guards the training of a run, a trial of a sweep, the
evaluation of a run by a protocol, and the preparation of a data set. On one host, and on a network's disk that knows
locks, the system keeps others out and frees what a killed process held. Elsewhere the holder renews its note in the
file, and others take over only what has not changed for its time to live; the holder who finds that out ends at once.
`Watch` looks at such a file without disturbing its holder.

The package filelock (4.3.1) was tried for this and does not pass the tests: its `SoftFileLease` never takes over an
empty file, which a power cut leaves, and holds a killed process that nobody waited for alive; its `FileLock` raises
where a network's disk answers ENOLCK, uses flock, which on a file server does not exclude the clients' locks, and is
not seen by a lease on the same path; and neither tells who holds a lock without trying to take it.
"""

from dupl.lock.holder import BEATS, FILE, MARK, TTL, Holder
from dupl.lock.holding import LEASE, hold
from dupl.lock.watch import Sight, Watch, kill_stalled

__all__ = ["BEATS", "FILE", "LEASE", "MARK", "TTL", "Holder", "Sight", "Watch", "hold", "kill_stalled"]
