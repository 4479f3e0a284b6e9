"""Sets of wards that a user may see or act in, as granted by the broker (`user_connection`). Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WardScope:
    """Some wards, or with `everywhere` all of them, including wards that are not known yet."""

    wards: frozenset[str] = frozenset()
    everywhere: bool = False

    def includes(self, ward: str) -> bool:
        """Return whether this ward is one of them."""
        return self.everywhere or ward in self.wards

    def with_ward(self, ward: str) -> "WardScope":
        """Return the scope with one more ward."""
        return WardScope(self.wards | {ward}, self.everywhere)

    def as_list(self) -> list[str] | None:
        """Return the sorted names of the wards, None for all: the form that the pages receive."""
        return None if self.everywhere else sorted(self.wards)


NO_WARDS = WardScope()
ALL_WARDS = WardScope(everywhere=True)
