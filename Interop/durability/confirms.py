"""Which of the messages published on a channel have been confirmed."""


class Confirms:
    """What a channel has published and not seen confirmed, by delivery tag."""

    def __init__(self) -> None:
        self._last = 0
        self._open: dict[int, object] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, what: object) -> None:
        """Notes a publish."""
        self._last += 1
        self._open[self._last] = what

    def take(self, event) -> list[object]:
        """Returns what a basic.ack confirms."""
        assert event.name == "basic.ack", f"{event!r} where only basic.ack may come"
        if not event.multiple:
            return [self._open.pop(event.delivery_tag)]
        return [self._open.pop(tag) for tag in [tag for tag in self._open if tag <= event.delivery_tag]]
