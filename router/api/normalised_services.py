"""The verbs of an association on normalised instances: N-EVENT-REPORT, N-GET, N-SET, N-ACTION, ..."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.api.performing import Performing

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID


class NormalisedServices(Performing):
    """N-services as SCU (the invoker); mixed into Association.

    Common to all: class_uid and instance_uid name the SOP instance; meta_uid: the meta SOP class whose
    context is to be used, if that is another one. What comes back is (status, dataset): an empty Dataset
    and None if there was no valid response; the dataset is None unless the status is Success or Warning,
    and empty if the peer sent none; Status is 0110H if it cannot be decoded.
    Raises RuntimeError if the association is not established, ValueError without an accepted context or if a
    dataset cannot be encoded.
    """

    def send_n_event_report(
        self,
        dataset: Dataset | None,
        event_type: int,
        class_uid: str | UID,
        instance_uid: str | UID,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> tuple[Dataset, Dataset | None]:
        """Report an event; dataset: the Event Information. Returns (status, Event Reply)."""
        return self._perform(
            self._prepare_n_event_report(dataset, event_type, class_uid, instance_uid, msg_id, meta_uid)
        )

    def send_n_get(
        self,
        identifier_list: list[Any],
        class_uid: str | UID,
        instance_uid: str | UID,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> tuple[Dataset, Dataset | None]:
        """Get attributes; identifier_list: their tags, empty: all. Returns (status, Attribute List)."""
        return self._perform(self._prepare_n_get(identifier_list, class_uid, instance_uid, msg_id, meta_uid))

    def send_n_set(
        self,
        dataset: Dataset,
        class_uid: str | UID,
        instance_uid: str | UID,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> tuple[Dataset, Dataset | None]:
        """Set attributes; dataset: the Modification List. Returns (status, Attribute List)."""
        return self._perform(self._prepare_n_set(dataset, class_uid, instance_uid, msg_id, meta_uid))

    def send_n_action(
        self,
        dataset: Dataset | None,
        action_type: int,
        class_uid: str | UID,
        instance_uid: str | UID,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> tuple[Dataset, Dataset | None]:
        """Have an action performed; dataset: the Action Information. Returns (status, Action Reply)."""
        return self._perform(
            self._prepare_n_action(dataset, action_type, class_uid, instance_uid, msg_id, meta_uid)
        )

    def send_n_create(
        self,
        dataset: Dataset | None,
        class_uid: str | UID,
        instance_uid: str | UID | None = None,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> tuple[Dataset, Dataset | None]:
        """Create an instance; dataset: the Attribute List; instance_uid: None leaves it to the peer."""
        return self._perform(self._prepare_n_create(dataset, class_uid, instance_uid, msg_id, meta_uid))

    def send_n_delete(
        self,
        class_uid: str | UID,
        instance_uid: str | UID,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> Dataset:
        """Delete an instance; return the status alone."""
        return self._perform(self._prepare_n_delete(class_uid, instance_uid, msg_id, meta_uid))[0]
