from tests.zoo.conftest import build  # noqa: F401
