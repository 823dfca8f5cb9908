"""Runs scenarios against one broker and notes down what came of each step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from differential.actions import MAIN, Action, Ask, Close, Pause, Receive, Scenario, Until
from differential.normalise import Normaliser
from differential.trees import Tree, decode_answer
from differential.wire import Connection, NoAnswer, header_bytes
from differential.world import Versions, World
from kbroker.protocol.api_keys import API_VERSIONS
from kbroker.protocol.headers import encode_request_header

PREPARATION_TIMEOUT_S: Final = 30.0
_HOPE_S: Final = 5.0
_POLL_INTERVAL_S: Final = 0.02

StepId = tuple[str, str, int, int]
"""Scenario, step, API, version."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one broker did with a step: the normalised answer, or what came instead."""

    answer: Tree | NoAnswer
    seconds: float


@dataclass(slots=True)
class Run:
    """All outcomes of one broker in order, and the scenarios that could not go on, with the reason."""

    outcomes: dict[StepId, Outcome] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


class PreparationFailedError(Exception):
    """A state that comparing needs did not come about."""


def run_scenarios(address: str, versions: Versions, scenarios: Sequence[Scenario], done: Callable[[Run], None]) -> Run:
    """Run scenarios against a broker; `done` is called with what there is after each."""
    run = Run()
    for scenario in scenarios:
        world = World(address, versions)
        player = _Player(scenario.name, world, run)
        try:
            player.play(scenario.steps(world))
        except Exception as error:
            run.broken[scenario.name] = f"{type(error).__name__}: {error}"
        finally:
            player.close()
            player.normalise()
        done(run)
    return run


class _Player:
    def __init__(self, scenario: str, world: World, run: Run) -> None:
        self._scenario = scenario
        self._world = world
        self._run = run
        self._connections: dict[str, Connection] = {}
        self._sent: dict[str, tuple[Ask, float]] = {}
        self._normaliser = Normaliser(scenario, world.symbols)

    def play(self, steps: Any) -> None:
        reply = None
        with contextlib.suppress(StopIteration):
            while True:
                reply = self._act(steps.send(reply))

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _act(self, action: Action) -> Any:
        if isinstance(action, Ask):
            return self._ask(action)
        if isinstance(action, Receive):
            ask, begun = self._sent.pop(action.connection)
            return self._note(ask, self._connection(action.connection).receive(), begun)
        if isinstance(action, Until):
            return self._repeat(action)
        if isinstance(action, Close):
            self._connections.pop(action.connection).close()
        elif isinstance(action, Pause):
            time.sleep(action.seconds)
        return None

    def _connection(self, name: str) -> Connection:
        connection = self._connections.get(name)
        if connection is None or not connection.is_open:
            connection = self._connections[name] = Connection(self._world.address)
        return connection

    def _ask(self, ask: Ask) -> Any:
        connection = self._connection(ask.connection)
        if ask.frame is None:
            known = API_VERSIONS.get(ask.api)
            flexible = known is not None and ask.version >= known.flexible_since
            number = connection.next_correlation_id()
            frame = header_bytes(ask.api, ask.version, number, ask.client_id, flexible=flexible) + ask.body
        else:
            frame = ask.frame
        begun = time.monotonic()
        connection.send(frame, ask.size)
        if not ask.wait:
            self._sent[ask.connection] = ask, begun
            return None
        answer = connection.receive_unless_silent() if ask.silent else connection.receive()
        return self._note(ask, answer, begun)

    def _note(self, ask: Ask, answer: bytes | NoAnswer, begun: float) -> Any:
        seconds = time.monotonic() - begun
        message, tree = (None, answer) if isinstance(answer, NoAnswer) else decode_answer(answer, ask.api, ask.version)
        identity = self._scenario, ask.name, ask.api, ask.version
        count = 1
        while identity in self._run.outcomes:
            count += 1
            identity = self._scenario, f"{ask.name} ({count})", ask.api, ask.version
        # What the scenario learns from the answer (ids it notes) must be known first, so this is normalised at the end.
        self._run.outcomes[identity] = Outcome(tree, seconds)
        return message

    def _repeat(self, until: Until) -> Any:
        api = until.request.API_KEY
        assert api is not None
        deadline = time.monotonic() + (_HOPE_S if until.gives_up else PREPARATION_TIMEOUT_S)
        frame: bytes | NoAnswer = NoAnswer.CLOSED
        while time.monotonic() < deadline:
            connection = self._connection(MAIN)
            number = connection.next_correlation_id()
            connection.send(
                encode_request_header(api, until.version, number, "differential") + until.request.encode(until.version)
            )
            frame = connection.receive()
            if not isinstance(frame, NoAnswer):
                message, tree = decode_answer(frame, api, until.version)
                if message is not None and until.wanted(message):
                    return message
            time.sleep(_POLL_INTERVAL_S)
        if until.gives_up:
            return None
        last = frame.value if isinstance(frame, NoAnswer) else tree
        raise PreparationFailedError(f"{until.what}: {last}")

    def normalise(self) -> None:
        """Replace what each broker makes up itself, in all outcomes of the scenario."""
        for identity, outcome in self._run.outcomes.items():
            if identity[0] == self._scenario and not isinstance(outcome.answer, NoAnswer):
                answer = self._normaliser.answer(identity[2], outcome.answer)
                self._run.outcomes[identity] = Outcome(answer, outcome.seconds)
