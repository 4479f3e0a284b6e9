"""Which wards somebody may see, or act in. Pure; what the broker has granted, as `person` asked it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WardScope:
    """Some wards, or with `everywhere` all of them, those included that nobody has heard of yet."""

    wards: frozenset[str] = frozenset()
    everywhere: bool = False

    def includes(self, ward: str) -> bool:
        """Whether this ward is one of them."""
        return self.everywhere or ward in self.wards

    def with_ward(self, ward: str) -> "WardScope":
        """With one ward more."""
        return WardScope(self.wards | {ward}, self.everywhere)

    def as_list(self) -> list[str] | None:
        """The wards by name, or None for all: as the pages are told."""
        return None if self.everywhere else sorted(self.wards)


NO_WARDS = WardScope()
ALL_WARDS = WardScope(everywhere=True)
