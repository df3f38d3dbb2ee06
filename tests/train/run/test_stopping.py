"""Being told to stop: a flag for the loop, and the same step for all processes (whole runs: test_loop.py)."""

from __future__ import annotations

import os
import signal

import jax
import pytest

from train.run import signals
from train.run.signals import LAG_STEPS, Stopping


def test_signals_only_set_a_flag_and_ctrl_c_twice_interrupts() -> None:
    handlers = [signal.getsignal(one) for one in signals.SIGNALS]
    with Stopping() as stop:
        assert not stop.at(3)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGTERM
        assert stop.at(3)
    with Stopping() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.at(0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(one) for one in signals.SIGNALS] == handlers


class Coordinator:
    """The keys and values of jax's coordination service."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def key_value_set(self, key: str, value: str) -> None:
        if key in self.values:
            raise jax.errors.JaxRuntimeError("ALREADY_EXISTS: a value")
        self.values[key] = value

    def key_value_try_get(self, key: str) -> str:
        if key not in self.values:
            raise jax.errors.JaxRuntimeError("NOT_FOUND: no value")
        return self.values[key]


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("told", [(0,), (1,), (0, 1)])
def test_all_processes_stop_after_the_same_step(
    monkeypatch: pytest.MonkeyPatch, ahead: int, told: tuple[int, ...]
) -> None:
    """Whoever gets the signal, and even though one of the processes has begun a step more than the other."""
    coordinator = Coordinator()
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax._src.distributed.global_state, "client", coordinator)
    monkeypatch.setattr(signals, "_runs", iter([5, 5]))
    processes = [Stopping(), Stopping()]
    ended: dict[int, int] = {}
    asked = [0, 0]
    while len(ended) < 2:
        for number, process in enumerate(processes):
            # the first may be `ahead` by as much as the loop lets it
            while number not in ended and asked[number] <= min(asked) + (ahead if number == 0 else 0):
                if asked[number] == 10 + number and number in told:
                    process.signal = signal.SIGTERM
                if process.at(asked[number]):
                    ended[number] = asked[number]
                    break
                asked[number] += 1
                if number == 1:
                    break
    assert ended[0] == ended[1]
    assert 10 < ended[0] <= 11 + LAG_STEPS
    assert {process.signal for process in processes} == {signal.SIGTERM}
