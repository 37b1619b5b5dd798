"""Checks an InferenceService against the classes of the package kserve: python check_inferenceservice.py FILE"""

import re
import sys

import kserve.models
import kubernetes.client
import yaml


def check(value, kind, place):
    """Exits if `value` has a key or a form that `kind`, a type as the classes write it, does not have."""
    inner = re.fullmatch(r"(list\[|dict\(str, )(.*)[\])]", kind)
    if inner and inner[1] == "list[":
        for index, each in enumerate(value):
            check(each, inner[2], f"{place}[{index}]")
    elif inner:
        for key, each in value.items():
            check(each, inner[2], f"{place}.{key}")
    elif model := getattr(kserve.models, kind, None) or getattr(kubernetes.client, kind, None):
        attributes = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
        for key, each in value.items():
            if key not in attributes:
                sys.exit(f"{place} has no key {key}; it has {', '.join(sorted(attributes))}")
            check(each, attributes[key], f"{place}.{key}")
    elif kind in ("str", "int", "bool", "float") and not isinstance(value, getattr(__builtins__, kind)):
        sys.exit(f"{place} is {value!r}, expected {kind}")


document = yaml.safe_load(open(sys.argv[1]))
check(document, "V1beta1InferenceService", "InferenceService")
print(f"{sys.argv[1]}: every key is known to kserve")
