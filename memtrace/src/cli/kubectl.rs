//! `kubectl memtrace`: the same binary as a plugin of kubectl, for pods anywhere in a cluster.
//!
//! Input: arguments, kubectl. Output: what the command prints in the memtrace pod of the node, and its exit code. Must not
//! talk to the API server itself: kubectl has the person's credentials.

mod cluster;
mod plan;

use std::{
    ffi::{OsStr, OsString},
    io::{IsTerminal as _, stderr, stdin, stdout},
    path::Path,
};

use anyhow::anyhow;
use clap::{Args, Parser, Subcommand, builder::NonEmptyStringValueParser};

use self::{
    cluster::{Access, Cluster, Place},
    plan::Form,
};
use super::Failure;
use crate::sizing::run::End;

/// The name of the binary as a plugin.
const NAME: &str = "kubectl-memtrace";

/// Ask the memtrace of a pod's node: why it was killed, and what its memory is.
///
/// Finds the node of the pod and the memtrace pod on it, runs the command there with `kubectl exec`, and prints what it
/// prints.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl memtrace",
    bin_name = "kubectl memtrace",
    version,
    after_help = "\
Examples:
  kubectl memtrace why cart-0 -n shop            why its last OOM kill happened
  kubectl memtrace explain cart-0 -c server      who owns its memory now, and what to do
  kubectl memtrace top cart-0                    live view of its processes
  kubectl memtrace top --node node-7             live view of a node
  kubectl memtrace report --node node-7          OOM kills of a node
  kubectl memtrace why cart-0 --node node-7      a pod that was deleted: name the node that it ran on
  kubectl memtrace advise cart-0 -- -o patch     what follows -- goes to the command on the node

Permissions: get on pods in the namespace of the pod; list on pods and create on pods/exec where memtrace runs
(--memtrace-namespace, else list in all namespaces).

Exit codes: those of the command on the node; 1 if it could not be run there, 3 if no memtrace pod runs on the node, 4 if \
you may not look for pods."
)]
pub struct Plugin {
    /// The subcommand.
    #[command(subcommand)]
    command: Ask,
    /// Where, and as whom.
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Subcommand)]
enum Ask {
    /// Tell why the last OOM kill in a pod happened.
    Why(Pod),
    /// Explain the memory of a pod or container on one page.
    Explain(Pod),
    /// Show the processes of a pod, or the containers of a node.
    Top(Target),
    /// List the OOM kills of a pod or node.
    Report(Target),
    /// Advise request and limit for the workload of a pod, or for all of a node.
    Advise(Target),
    /// Check what the kernel of a node supports, and what is lost without the rest.
    Doctor(Target),
}

/// A pod.
#[derive(Debug, Args)]
struct Pod {
    /// Pod, as kubectl names it: POD or pod/POD.
    #[arg(value_name = "POD", value_parser = pod_name)]
    pod: String,
    #[command(flatten)]
    rest: Rest,
}

/// A pod, or a node.
#[derive(Debug, Args)]
struct Target {
    /// Pod, as kubectl names it: POD or pod/POD.
    #[arg(value_name = "POD", value_parser = pod_name, required_unless_present = "node")]
    pod: Option<String>,
    #[command(flatten)]
    rest: Rest,
}

#[derive(Debug, Args)]
struct Rest {
    /// Container of the pod.
    #[arg(short, long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    container: Option<String>,
    /// Node to ask. With a pod: the node it ran on, if it is deleted.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    node: Option<String>,
    /// Arguments for the command on the node.
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// `cart-0`, or `pod/cart-0`. A name may become an argument, so it must not look like an option.
fn pod_name(text: &str) -> Result<String, String> {
    let name = ["pod/", "pods/", "po/"].iter().find_map(|kind| text.strip_prefix(kind)).unwrap_or(text);
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.'))
    };
    if is_name(name) { Ok(name.to_owned()) } else { Err("expected the name of a pod".to_owned()) }
}

/// Whether the program was called as a plugin, by its name.
pub fn is_called_as_plugin(program: Option<&OsStr>) -> bool {
    program.and_then(|program| Path::new(program).file_name()).is_some_and(|name| name == NAME)
}

/// Runs the plugin with the arguments of the process.
///
/// # Errors
/// See [`Failure`].
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let plugin = Plugin::parse_from(arguments);
    let form = Form {
        is_terminal: stdin().is_terminal() && stdout().is_terminal() && stderr().is_terminal(),
        has_color: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    match ask(&plugin, form)? {
        0 => Ok(()),
        code => Err(Failure::Ended(End::Exited(code))),
    }
}

/// Asks, and returns the exit code of the command on the node.
fn ask(plugin: &Plugin, form: Form) -> Result<u8, Failure> {
    let Plugin { command, access } = plugin;
    let cluster = Cluster::new(access);
    let (pod, rest) = match command {
        Ask::Why(Pod { pod, rest }) | Ask::Explain(Pod { pod, rest }) => (Some(pod), rest),
        Ask::Top(Target { pod, rest })
        | Ask::Report(Target { pod, rest })
        | Ask::Advise(Target { pod, rest })
        | Ask::Doctor(Target { pod, rest }) => (pod.as_ref(), rest),
    };
    let place = match (pod, &rest.node) {
        (Some(pod), None) => cluster.place_of(pod)?,
        (pod, Some(node)) => {
            Place { pod: pod.cloned(), namespace: access.namespace.clone(), node: node.clone() }
        }
        (None, None) => return Err(Failure::Usage(anyhow!("name a pod, or a node with --node"))),
    };
    let remote = plan::remote(command, rest, &place, form);
    let tracer = cluster.tracer_on(&place.node)?;
    cluster.exec(&tracer, &remote, form.is_terminal)
}

#[cfg(test)]
mod tests;
