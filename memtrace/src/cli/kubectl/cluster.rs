//! kubectl: where a pod runs, which memtrace pod is there, and a command in it.
//!
//! Names -> [`Place`], [`Tracer`], an exit code. What the API server sends is bounded, and used as names only.

use std::{
    io::{self, Read as _},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context as _, anyhow};
use clap::{Args, builder::NonEmptyStringValueParser};
use serde::Deserialize;

use crate::cli::Failure;

/// The label of the chart's pods.
const LABEL: &str = "app.kubernetes.io/name=memtrace";

/// The binary in the image.
const PROGRAM: &str = "/memtrace";

/// One pod takes some 10 KiB.
const MOST_BYTES: u64 = 8 << 20;

/// The end of what kubectl says of an error.
const MOST_SAID: u64 = 64 << 10;

/// How kubectl gets to the cluster.
#[derive(Debug, Default, Args)]
pub(super) struct Access {
    /// Namespace of the pod [default: that of the context].
    #[arg(short, long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) namespace: Option<String>,
    /// Namespace of the memtrace pods [default: look in all].
    #[arg(long, global = true, value_name = "NAME", env = "MEMTRACE_NAMESPACE")]
    pub(super) memtrace_namespace: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// File with the access to clusters.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// User to impersonate.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub(super) user: Option<String>,
    /// Program to run as kubectl.
    #[arg(long, global = true, value_name = "PATH", env = "KUBECTL", default_value = "kubectl")]
    pub(super) kubectl: PathBuf,
}

/// Where to ask about what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pod: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) node: String,
}

/// A memtrace pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tracer {
    pub(super) namespace: String,
    pub(super) pod: String,
}

/// A cluster, as kubectl shows it.
pub(super) struct Cluster<'a> {
    access: &'a Access,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Pod>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    phase: String,
}

impl<'a> Cluster<'a> {
    pub(super) const fn new(access: &'a Access) -> Self {
        Self { access }
    }

    /// Where a pod runs.
    pub(super) fn place_of(&self, pod: &str) -> Result<Place, Failure> {
        let mut command = self.kubectl("get");
        if let Some(namespace) = &self.access.namespace {
            command.args(["--namespace", namespace]);
        }
        command.args(["pod", pod, "--output=json"]);
        let what = || {
            format!("failed to find pod {pod} (for a deleted pod, name the node that it ran on with --node)")
        };
        let found: Pod = self.json(command, &what)?;
        let Metadata { name, namespace } = found.metadata;
        let Some(node) = found.spec.node_name else {
            return Err(Failure::Failed(anyhow!("pod {namespace}/{name} runs on no node yet")));
        };
        Ok(Place { pod: Some(name), namespace: Some(namespace), node })
    }

    /// The memtrace pod on a node.
    pub(super) fn tracer_on(&self, node: &str) -> Result<Tracer, Failure> {
        let mut command = self.kubectl("get");
        match &self.access.memtrace_namespace {
            Some(namespace) => command.args(["--namespace", namespace]),
            None => command.arg("--all-namespaces"),
        };
        command.args(["pods", "--output=json", "--selector", LABEL]);
        command.args(["--field-selector", &format!("spec.nodeName={node}")]);
        let what = || {
            let hint = match self.access.memtrace_namespace {
                Some(_) => "",
                None => " (with --memtrace-namespace it is enough to list pods of that namespace)",
            };
            format!("failed to find the memtrace pod of node {node}{hint}")
        };
        let List { items } = self.json(command, &what)?;
        let (running, others): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|pod| pod.status.phase == "Running");
        let tracer = |pod: &Pod| format!("{}/{}", pod.metadata.namespace, pod.metadata.name);
        match (running.into_iter().next(), others.first()) {
            (Some(Pod { metadata, .. }), _) => {
                Ok(Tracer { namespace: metadata.namespace, pod: metadata.name })
            }
            (None, Some(pod)) => Err(Failure::NoDaemon(anyhow!(
                "the memtrace pod of node {node}, {}, is not running: its phase is {:?}",
                tracer(pod),
                pod.status.phase
            ))),
            (None, None) => Err(Failure::NoDaemon(anyhow!(
                "there is no memtrace pod on node {node}: no pod with the label {LABEL}{}; is the node's taint \
                 tolerated, and is the node's name right?",
                match &self.access.memtrace_namespace {
                    Some(namespace) => format!(" in namespace {namespace}"),
                    None => String::new(),
                }
            ))),
        }
    }

    /// Runs memtrace in its pod, with this process's input and output. Returns its exit code.
    pub(super) fn exec(&self, tracer: &Tracer, words: &[String], is_terminal: bool) -> Result<u8, Failure> {
        let mut command = self.kubectl("exec");
        command.args(["--namespace", &tracer.namespace, &tracer.pod]);
        if is_terminal {
            command.args(["--stdin", "--tty"]);
        }
        command.args(["--container=memtrace", "--", PROGRAM]).args(words);
        let status = command.status().with_context(|| self.not_started())?;
        // kubectl itself exits with 1 for its own errors, and says them.
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
    }

    /// kubectl takes an option before the verb for the name of a plugin, unless it knows it for all verbs.
    fn kubectl(&self, verb: &str) -> Command {
        let Access { context, kubeconfig, user, kubectl, .. } = self.access;
        let mut command = Command::new(kubectl);
        command.arg(verb);
        if let Some(file) = kubeconfig {
            command.arg("--kubeconfig").arg(file);
        }
        if let Some(context) = context {
            command.args(["--context", context]);
        }
        if let Some(user) = user {
            command.args(["--as", user]);
        }
        command
    }

    fn json<T: for<'de> Deserialize<'de>>(
        &self,
        mut command: Command,
        what: &dyn Fn() -> String,
    ) -> Result<T, Failure> {
        command.arg("--request-timeout=20s");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().with_context(|| self.not_started())?;
        let Output { status, stdout, stderr } = output(child).with_context(what)?;
        if status.success() {
            let read = serde_json::from_slice(&stdout);
            return read.map_err(|error| {
                Failure::Failed(anyhow!(error).context("kubectl's answer").context(what()))
            });
        }
        let said = String::from_utf8_lossy(&stderr);
        let error = anyhow!("{}", said.trim().to_owned()).context(what());
        Err(if said.contains("(Forbidden)") { Failure::NotPermitted(error) } else { Failure::Failed(error) })
    }

    fn not_started(&self) -> String {
        format!("failed to run {} (--kubectl or KUBECTL names another)", self.access.kubectl.display())
    }
}

/// What a child says, up to a bound; then its end.
fn output(mut child: Child) -> io::Result<Output> {
    let stderr = child.stderr.take();
    let said = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stderr) = stderr {
            stderr.by_ref().take(MOST_SAID).read_to_end(&mut bytes)?;
            io::copy(&mut stderr, &mut io::sink())?;
        }
        io::Result::Ok(bytes)
    });
    let mut stdout = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(MOST_BYTES).read_to_end(&mut stdout)?;
    }
    let status = child.wait()?;
    let stderr = said.join().map_err(|_| io::Error::other("a thread panicked"))??;
    Ok(Output { status, stdout, stderr })
}
