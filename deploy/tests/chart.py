"""Renders the chart, compares it with the manifests that are checked in, and validates both.

Usage: chart.py [--write]. Needs helm-python-sdk, kubernetes-validate and PyYAML (`cargo xtask chart` installs them).
"""

import pathlib
import sys

import helm_python as helm
import kubernetes_validate
import yaml

DEPLOY = pathlib.Path(__file__).resolve().parent.parent
CHART = DEPLOY / "chart/memtrace"
MANIFEST = DEPLOY / "manifests/memtrace.yaml"
ORDER = ["namespace.yaml", "serviceaccount.yaml", "daemonset.yaml"]
VERSIONS = ["1.28", "1.32", "1.36"]
HEADING = "# Rendered from deploy/chart/memtrace by `cargo xtask chart --write`: change the chart, not this.\n"

# Values that must render to valid objects, and values that the schema must refuse.
GOOD = [
    {},
    {"privileged": True},
    {"extraCapabilities": ["SYS_ADMIN"], "extraArgs": ["--fault-period=0"], "priorityClassName": ""},
    {"image": {"repository": "registry.example/memtrace", "tag": "2"}, "podAnnotations": {"a": "b"}},
]
BAD = [
    {"resources": {"cpu": "1", "memory": "lots"}},
    {"scanShare": 0},
    {"logLevel": "loud"},
    {"stateDirectory": "relative"},
    {"unknown": 1},
]


def render(values):
    with helm.Chart.load(str(CHART)) as chart:
        rendered = chart.render(values, name="memtrace", namespace="memtrace")
    texts = [rendered[f"memtrace/templates/{name}"].strip() for name in ORDER]
    assert len(rendered) == len(ORDER), sorted(rendered)
    return HEADING + "".join(f"---\n{text}\n" for text in texts)


def validate(text):
    for document in yaml.safe_load_all(text):
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)


def is_refused(values):
    try:
        with helm.Chart.load(str(CHART)) as chart:
            chart.validate_schema(values)
            chart.render(values, name="memtrace", namespace="memtrace")
    except helm.HelmError:
        return True
    return False


def capabilities(text):
    container = list(yaml.safe_load_all(text))[2]["spec"]["template"]["spec"]["containers"][0]
    return container["securityContext"]["capabilities"]["add"]


def main():
    text = render({})
    if "--write" in sys.argv:
        MANIFEST.write_text(text)
    assert MANIFEST.read_text() == text, f"{MANIFEST} is not what the chart renders: run with --write"
    for values in GOOD:
        validate(render(values))
    for values in BAD:
        assert is_refused(values), f"the schema takes {values}"
    # The unit for plain hosts has the same set.
    unit = (DEPLOY / "systemd/memtrace.service").read_text()
    line = next(line for line in unit.splitlines() if line.startswith("CapabilityBoundingSet="))
    assert line.split("=")[1].split() == [f"CAP_{name}" for name in capabilities(text)], line
    print(f"chart: {len(GOOD)} renderings valid for Kubernetes {', '.join(VERSIONS)}, {len(BAD)} bad values refused")


main()
