"""The simulation: every request of every machine, in steps of some seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .clients import Client
from .timing import HOUR, Machines, Times

_STEPS_IN_A_BLOCK = 60

# After a time without service, a minute in which all are served.
_QUIET = 60.0


@dataclass(frozen=True)
class Service:
    """What serves the fleet.

    Attributes:
        capacity: certificates over /v1/sign a second.
        refusal_cost: the work for a request that is refused, in certificates: the TLS handshake.
        outages: first and last second of the times without service.
    """

    capacity: float
    refusal_cost: float = 0.1
    outages: tuple[tuple[float, float], ...] = ()

    def served(self, requests: int, start: float, seconds: float, cost: float) -> int:
        """How many of the requests in a step are served.

        Args:
            requests: the number of requests.
            start: the beginning of the step.
            seconds: its length.
            cost: the work for one certificate.
        """
        if any(begin <= start < end for begin, end in self.outages):
            return 0
        left = self.capacity * seconds - requests * self.refusal_cost
        return max(0, min(requests, int(left / (cost - self.refusal_cost))))


@dataclass(frozen=True)
class PowerLoss:
    """All machines are off from one time to another, and then boot within so many seconds."""

    begin: float
    end: float
    boot: float


@dataclass
class Result:
    """What happened; rates are per second, times in seconds.

    Attributes:
        step: the seconds of one step.
        requests: the requests in each step.
        certificates: the certificates that were issued in each step.
        without: the machines without a valid certificate at the end of each step.
        gaps: for each machine that was without, for how long.
        never: the machines that are still without at the end.
    """

    step: float
    requests: NDArray[np.int64]
    certificates: NDArray[np.int64]
    without: NDArray[np.int64]
    gaps: Times
    never: int

    def rates(self, counts: NDArray[np.int64], seconds: float = 60.0) -> Times:
        """Counts per step as means per second over so many seconds."""
        steps = max(1, round(seconds / self.step))
        whole = len(counts) // steps * steps
        means: Times = counts[:whole].reshape(-1, steps).mean(axis=1) / self.step
        return means

    @property
    def ended(self) -> int:
        """How many times a machine was without a valid certificate."""
        return len(self.gaps) + self.never


@dataclass
class Fleet:
    """The machines: when their certificate ends, and when they ask for the next.

    Attributes:
        client: the program on each machine.
        life: the seconds that a certificate lives.
        ends: when the certificate of each machine ends.
        asks: when each machine asks next.
    """

    client: Client
    life: float
    ends: Times
    asks: Times
    _gaps: list[tuple[Times, Times]] = field(default_factory=list)

    @classmethod
    def steady(cls, client: Client, life: float) -> Fleet:
        """A fleet whose certificates have all ages."""
        count = len(client.failures)
        spans = client.draw_spans(count)
        issued = -client.rng.uniform(0, spans)
        asks = client.request_times(np.arange(count), issued + spans)
        return cls(client, life, issued + life, asks)

    @classmethod
    def new(cls, client: Client, life: float, seconds: float) -> Fleet:
        """A fleet without certificates, which asks within the first so many seconds."""
        asks = client.rng.uniform(0, seconds, len(client.failures))
        return cls(client, life, asks.copy(), asks)

    def run(
        self,
        service: Service,
        duration: float,
        step: float,
        power_loss: PowerLoss | None = None,
        progress: Callable[[float], None] = lambda _: None,
    ) -> Result:
        """Simulate so many seconds.

        Args:
            service: what answers.
            duration: the seconds to simulate.
            step: the seconds of one step.
            power_loss: when the machines are off, if ever.
            progress: called with the time of each block of steps.
        """
        steps = round(duration / step)
        requests, certificates = np.zeros((2, steps), dtype=np.int64)
        for block in range(0, steps, _STEPS_IN_A_BLOCK):
            begin = block * step
            progress(begin)
            if power_loss and begin <= power_loss.begin < begin + _STEPS_IN_A_BLOCK * step:
                self._switch_off(power_loss)
            last = min(block + _STEPS_IN_A_BLOCK, steps)
            machines = np.flatnonzero(self.asks < last * step)
            asks = self.asks[machines]
            for number in range(block, last):
                hits = np.flatnonzero(asks < (number + 1) * step)
                if not len(hits):
                    continue
                requests[number] = len(hits)
                certificates[number] = count = service.served(
                    len(hits), number * step, step, self.client.cost
                )
                if count < len(hits):
                    hits = self.client.rng.permutation(hits)
                asks[hits] = self._answer(machines[hits], asks[hits], count)
            self.asks[machines] = asks
        return self._result(step, requests, certificates)

    def _answer(self, machines: Machines, now: Times, served: int) -> Times:
        """Serve the first requests and refuse the others; when each machine asks again."""
        winners, losers = machines[:served], machines[served:]
        times, late = now[:served], now[served:]
        gaps = self.ends[winners] < times
        self._gaps.append((self.ends[winners[gaps]], times[gaps]))
        self.ends[winners] = times + self.life
        return np.concatenate(
            [
                self.client.after_success(winners, times),
                self.client.after_failure(losers, late, self.ends[losers] - late),
            ]
        )

    def _switch_off(self, power_loss: PowerLoss) -> None:
        everyone = np.arange(len(self.asks))
        booted = power_loss.end + self.client.rng.uniform(0, power_loss.boot, len(everyone))
        missed = (self.asks >= power_loss.begin) & (self.asks < booted)
        self.client.failures[everyone] = 0
        self.asks[missed] = self.client.after_boot(everyone[missed], booted[missed])

    def _result(
        self, step: float, requests: NDArray[np.int64], certificates: NDArray[np.int64]
    ) -> Result:
        steps = len(requests)
        begins = np.concatenate([begin for begin, _ in self._gaps] or [np.zeros(0)])
        ends = np.concatenate([end for _, end in self._gaps] or [np.zeros(0)])
        never = self.ends[self.ends < steps * step]

        def count(times: Times) -> NDArray[np.int64]:
            inside = np.clip(times / step, 0, steps).astype(np.int64)
            return np.bincount(inside, minlength=steps + 1)[:steps]

        without = np.cumsum(count(begins) + count(never) - count(ends))
        return Result(step, requests, certificates, without, ends - begins, len(never))


def peak_hours(result: Result, limit: float) -> float:
    """The hours in which more than so many requests a second came."""
    return float(np.count_nonzero(result.rates(result.requests) > limit)) * _QUIET / HOUR
