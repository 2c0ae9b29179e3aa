"""The policy in plain Python, one event at a time, from the words of the rules, not their tables."""

from dataclasses import dataclass, field

HOUR_US = 3_600_000_000
LOW, MEDIUM, HIGH = 0, 1, 2


@dataclass
class Customer:
    level: int = LOW
    since_us: int = 0
    may_fall_from_us: int = 0
    streak: int = 0
    said: str = ""  # what stands: "", "recommended", "held"
    forced: tuple[int, int] | None = None  # level, until


@dataclass
class Oracle:
    policy: object
    customers: dict = field(default_factory=dict)
    recommended_us: list = field(default_factory=list)

    def judge(self, who, score, now_us, events, override=None):
        """(level before, level after, transition) of one applied event; `score` None: not scored."""
        customer = self.customers.setdefault(who, Customer())
        before = customer.level
        return before, *self._after(customer, score, now_us, events, override)

    def _after(self, customer, score, now_us, events, override):
        if override is not None:
            return self._human(customer, now_us, *override)
        if score is None:
            return customer.level, "NONE"
        if customer.forced and customer.forced[1] > now_us:
            return customer.level, "NONE"
        ended, customer.forced = customer.forced, None
        self._assess(customer, score, now_us, events)
        return customer.level, "RELEASED" if ended else self._recommend(customer, now_us)

    def _human(self, customer, now_us, level, until_us):
        if until_us > now_us:
            self._move(customer, level, now_us)
            customer.forced = (level, until_us)
            customer.said, customer.streak, customer.may_fall_from_us = "", 0, 0
            return customer.level, "OVERRIDDEN"
        ended, customer.forced = customer.forced, None
        return customer.level, "RELEASED" if ended else "NONE"

    def _move(self, customer, level, now_us):
        if level != customer.level:
            customer.level, customer.since_us = level, now_us

    def _assess(self, customer, score, now_us, events):
        policy = self.policy
        upper = {LOW: 0.0, MEDIUM: policy.medium, HIGH: policy.high}
        lower = {
            LOW: 0.0,
            MEDIUM: policy.medium * policy.exit_ratio,
            HIGH: max(policy.high * policy.exit_ratio, policy.medium),
        }
        reached = max(level for level in upper if score >= upper[level])
        if reached > customer.level:
            self._move(customer, reached, now_us)
        elif now_us >= customer.may_fall_from_us:
            self._move(
                customer,
                max(level for level in lower if level <= customer.level and score >= lower[level]),
                now_us,
            )
        if customer.level > LOW and score >= upper[customer.level]:
            customer.may_fall_from_us = max(customer.may_fall_from_us, now_us + policy.cooldown_us)
        supports = customer.level == HIGH and score >= lower[HIGH] and events >= policy.min_events
        customer.streak = customer.streak + 1 if supports else 0

    def _recommend(self, customer, now_us):
        if customer.streak == 0:
            stood, customer.said = customer.said, ""
            return "RETRACTED" if stood else "NONE"
        if customer.streak < self.policy.in_a_row or customer.said == "recommended":
            return "NONE"
        last_hour = sum(time > now_us - HOUR_US for time in self.recommended_us)
        if self.policy.max_per_hour and last_hour >= self.policy.max_per_hour:
            stood, customer.said = customer.said, "held"
            return "NONE" if stood == "held" else "HELD"
        customer.said = "recommended"
        self.recommended_us.append(now_us)
        return "RECOMMENDED"
