"""Renders the chart, compares it with the checked-in manifests, and validates both.

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
ORDER = ["namespace.yaml", "serviceaccount.yaml", "rbac.yaml", "networkpolicy.yaml", "daemonset.yaml"]
VERSIONS = ["1.28", "1.32", "1.36"]
# Seconds after which `memtrace health` gives up by itself.
CLIENT = 5
HEADING = "# Rendered from deploy/chart/memtrace by `cargo xtask chart --write`. Edit the chart, not this file.\n"

SCRAPERS = [
    {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
    },
    {"ipBlock": {"cidr": "192.0.2.0/24"}},
]

# Values that must render to valid objects, and values that the schema must refuse.
GOOD = [
    {},
    {"privileged": True},
    {"extraCapabilities": ["SYS_RESOURCE"], "extraArgs": ["--fault-period=0"], "priorityClassName": ""},
    {"kubelet": {"enabled": True, "insecureTLS": True, "nodesProxy": True}},
    {"image": {"repository": "registry.example/memtrace", "tag": "2"}, "podAnnotations": {"a": "b"}},
    {"networkPolicy": {"enabled": True, "scrapers": SCRAPERS}},
    {"networkPolicy": {"enabled": True, "scrapers": SCRAPERS}, "kubelet": {"enabled": True}},
    {"otlp": {"url": "http://collector:4318"}, "networkPolicy": {"enabled": True, "scrapers": SCRAPERS}},
    {"otlp": {"url": "https://collector", "port": 443, "headersSecret": "token", "caConfigMap": "ca"}},
    {"page": {"tokenSecret": "memtrace-page"}},
]
BAD = [
    {"resources": {"cpu": "1", "memory": "lots"}},
    {"scanShare": 0},
    {"logLevel": "loud"},
    {"stateDirectory": "relative"},
    {"kubelet": {"enabled": "yes"}},
    {"unknown": 1},
    {"otlp": {"url": "collector:4318"}},
    {"page": {"tokenSecret": "No Secret"}},
    {"otlp": {"url": "https://collector", "caConfigMap": ""}},
    # An empty list of peers admits everybody.
    {"networkPolicy": {"enabled": True}},
    {"networkPolicy": {"enabled": True, "scrapers": []}},
    {"networkPolicy": {"enabled": True, "scrapers": [{}]}},
    {"networkPolicy": {"enabled": True, "scrapers": [{"namespace": "monitoring"}]}},
]


def render(values):
    with helm.Chart.load(str(CHART)) as chart:
        rendered = chart.render(values, name="memtrace", namespace="memtrace")
    files = {name.removeprefix("memtrace/templates/"): text.strip() for name, text in rendered.items()}
    assert files.keys() <= set(ORDER), sorted(files)
    return HEADING + "".join(f"---\n{files[name]}\n" for name in ORDER if files.get(name))


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


def objects(text):
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def capabilities(text):
    container = objects(text)["DaemonSet"]["spec"]["template"]["spec"]["containers"][0]
    return container["securityContext"]["capabilities"]["add"]


def container(text):
    return objects(text)["DaemonSet"]["spec"]["template"]["spec"]["containers"][0]


def check_health(text):
    probes = {name: container(text)[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    socket = next(argument for argument in container(text)["args"] if argument.startswith("--socket="))
    for name, probe in probes.items():
        # Whoever fills the port must not restart the tracer.
        assert not {"httpGet", "tcpSocket", "grpc"} & probe.keys(), name
        command = probe["exec"]["command"]
        assert command[:2] == ["/memtrace", "health"] and command[-1] == socket, command
        assert ("--live" in command) == (name == "livenessProbe"), command
        assert probe["timeoutSeconds"] > CLIENT, name


def check_network():
    assert "NetworkPolicy" not in objects(render({}))
    policy = objects(render({"networkPolicy": {"enabled": True, "scrapers": SCRAPERS}}))["NetworkPolicy"]["spec"]
    port = container(render({}))["ports"][0]["name"]
    assert policy["ingress"] == [{"from": SCRAPERS, "ports": [{"protocol": "TCP", "port": port}]}], policy
    assert policy["egress"] == [] and policy["policyTypes"] == ["Ingress", "Egress"], policy
    labels = objects(render({}))["DaemonSet"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items(), policy
    values = {"networkPolicy": {"enabled": True, "scrapers": SCRAPERS}, "kubelet": {"enabled": True}}
    egress = objects(render(values))["NetworkPolicy"]["spec"]["egress"]
    assert egress == [{"ports": [{"protocol": "TCP", "port": 10250}]}], egress


def check_unit(unit):
    settings = [line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#")]
    values = dict(settings)
    # The daemon needs what these take away: kernel symbols and tunables that it reads, the kernel log, other processes.
    taken = {"ProtectKernelTunables", "ProtectKernelLogs", "ProtectProc", "ProcSubset", "PrivateUsers", "PrivateDevices"}
    assert not taken & values.keys(), taken & values.keys()
    assert values["Type"] == "notify" and int(values["WatchdogSec"]) > 0 and values["Restart"] == "on-failure"
    # /dev/kmsg is the only device.
    assert values["DevicePolicy"] == "closed" and [v for k, v in settings if k == "DeviceAllow"] == ["/dev/kmsg r"]


def main():
    text = render({})
    if "--write" in sys.argv:
        MANIFEST.write_text(text)
    assert MANIFEST.read_text() == text, f"{MANIFEST} is not what the chart renders: run with --write"
    for values in GOOD:
        validate(render(values))
    for values in BAD:
        assert is_refused(values), f"the schema accepts {values}"
    # Without the kubelet there are no permissions, and no token that could be stolen.
    assert set(objects(text)) == {"Namespace", "ServiceAccount", "DaemonSet"}, sorted(objects(text))
    assert not objects(text)["DaemonSet"]["spec"]["template"]["spec"]["automountServiceAccountToken"]
    narrow = objects(render({"kubelet": {"enabled": True}}))
    assert narrow["ClusterRole"]["rules"] == [{"apiGroups": [""], "resources": ["nodes/pods"], "verbs": ["get"]}]
    assert narrow["DaemonSet"]["spec"]["template"]["spec"]["automountServiceAccountToken"]
    # The systemd unit has the same capabilities.
    unit = (DEPLOY / "systemd/memtrace.service").read_text()
    check_unit(unit)
    check_health(text)
    check_network()
    line = next(line for line in unit.splitlines() if line.startswith("CapabilityBoundingSet="))
    assert line.split("=")[1].split() == [f"CAP_{name}" for name in capabilities(text)], line
    # Old kernels need this limit instead of the capability, which is not in the set.
    assert "LimitMEMLOCK=infinity" in unit.splitlines() and "SYS_RESOURCE" not in capabilities(text)
    assert "SYS_RESOURCE" in capabilities(render({"extraCapabilities": ["SYS_RESOURCE"]}))
    print(f"chart: {len(GOOD)} renderings valid for Kubernetes {', '.join(VERSIONS)}, {len(BAD)} bad values refused")


main()
