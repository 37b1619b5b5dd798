"""Checks the manifests of deploy/kubernetes: PYTHON check_manifests.py

The Job is checked against the schema of Kubernetes, the InferenceService against the classes of the package kserve. PYTHON has the
packages kserve and kubernetes-validate.
"""

import importlib.metadata
import pathlib
import re
import sys

import kserve.models
import kubernetes.client
import kubernetes_validate
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


manifests = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
job = yaml.safe_load((manifests / "job.yaml").read_text())
version = kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
print(f"job.yaml: valid for Kubernetes {version}, with no key that its schema lacks")
service = yaml.safe_load((manifests / "inferenceservice.yaml").read_text())
check(service, "V1beta1InferenceService", "InferenceService")
print(f"inferenceservice.yaml: every key is known to kserve {importlib.metadata.version('kserve')}")
