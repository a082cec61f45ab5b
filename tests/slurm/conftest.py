"""The test cluster as a fixture; where none can be had, its tests skip with the reason (and fail with CI=true)."""

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, why_not


@pytest.fixture(scope="session")
def no_cluster() -> None:
    reason = why_not()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def cluster(no_cluster: None) -> Iterator[Cluster]:
    """Four nodes with good settings, shared by all tests: leave it as it was found."""
    with Cluster.up() as started:
        yield started
