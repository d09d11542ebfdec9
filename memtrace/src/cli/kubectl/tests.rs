use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use clap::{CommandFactory as _, Parser as _};
use proptest::prelude::*;

use super::{Form, Plugin, ask, is_called_as_plugin, pod_name};
use crate::cli::{Cli, Failure};

/// A kubectl that writes its arguments down, one call a line, and answers by what it is asked.
const KUBECTL: &str = r#"#!/bin/sh
printf '%s\037' "$@" >> "$(dirname "$0")/calls"; echo >> "$(dirname "$0")/calls"
case "$1 $* " in
-*) echo "Error: flags cannot be placed before plugin name: $1" >&2; exit 1 ;;
"get "*" pod "*) cat "$(dirname "$0")/pod" 2>/dev/null || { echo 'Error from server (NotFound): pods "cart-0" not found' >&2; exit 1; } ;;
"get "*" pods "*) cat "$(dirname "$0")/pods" 2>/dev/null || { echo 'Error from server (Forbidden): pods is forbidden: User "eve" cannot list resource "pods" in API group "" at the cluster scope' >&2; exit 1; } ;;
"exec "*) exit "$(cat "$(dirname "$0")/code")" ;;
esac
"#;

const POD: &str = r#"{"metadata":{"name":"cart-7d9f8b6c5d-x2x4q","namespace":"shop"},"spec":{"nodeName":"node-7"},"status":{"phase":"Running"}}"#;
const TRACERS: &str = r#"{"items":[{"metadata":{"name":"memtrace-old","namespace":"ops"},"spec":{"nodeName":"node-7"},"status":{"phase":"Failed"}},
    {"metadata":{"name":"memtrace-x","namespace":"ops"},"spec":{"nodeName":"node-7"},"status":{"phase":"Running"}}]}"#;

struct Scene(tempfile::TempDir);

impl Scene {
    /// With the answers about the pod and about the tracers, if they are allowed and there.
    fn new(pod: Option<&str>, tracers: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("kubectl", KUBECTL);
        write("code", "0");
        pod.inspect(|pod| write("pod", pod));
        tracers.inspect(|tracers| write("pods", tracers));
        fs::set_permissions(dir.path().join("kubectl"), fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn ask(&self, words: &[&str]) -> Result<u8, Failure> {
        let kubectl = self.path().join("kubectl").display().to_string();
        let words = [&["kubectl-memtrace", "--kubectl", &kubectl], words].concat();
        ask(&Plugin::try_parse_from(words).unwrap(), Form::default())
    }

    /// The arguments of each call.
    fn calls(&self) -> Vec<Vec<String>> {
        let calls = fs::read_to_string(self.path().join("calls")).unwrap_or_default();
        let words = |line: &str| line.split_terminator('\u{1f}').map(str::to_owned).collect();
        calls.lines().map(words).collect()
    }

    /// What was run on the node.
    fn remote(&self) -> Vec<String> {
        let call = self.calls().pop().unwrap();
        call.iter().skip_while(|word| *word != "--").skip(2).cloned().collect()
    }
}

fn said(result: Result<u8, Failure>) -> (u8, String) {
    let failure = result.unwrap_err();
    (failure.code(), format!("{:#}", failure.error().unwrap()))
}

#[test]
fn each_subcommand_runs_a_command_of_memtrace_on_the_node_of_the_pod() {
    let pod = "cart-7d9f8b6c5d-x2x4q";
    for (words, remote) in [
        (&["why", pod][..], &["report", "--last", "--namespace", "shop", "--pod", pod][..]),
        (
            &["why", pod, "-c", "server", "--", "-o", "html"],
            &["report", "--last", "--namespace", "shop", "--pod", pod, "--container", "server", "-o", "html"],
        ),
        (&["explain", pod], &["explain", "shop/cart-7d9f8b6c5d-x2x4q"]),
        (&["explain", pod, "-c", "server"], &["explain", "shop/cart-7d9f8b6c5d-x2x4q/server"]),
        (
            &["top", pod, "-n", "shop"],
            &["top", "--by", "process", "--filter", "ns=shop pod=cart-7d9f8b6c5d-x2x4q"],
        ),
        (&["top", "--node", "node-7"], &["top", "--by", "container"]),
        (&["report", pod], &["report", "list", "--namespace", "shop", "--pod", pod]),
        (&["report", "--node", "node-7"], &["report", "list"]),
        (&["advise", pod], &["advise", "shop/cart"]),
        (&["advise", "--node", "node-7"], &["advise"]),
        (&["doctor", pod], &["doctor"]),
    ] {
        let scene = Scene::new(Some(POD), Some(TRACERS));
        assert_eq!(scene.ask(words).unwrap(), 0, "{words:?}");
        assert_eq!(scene.remote(), remote, "{words:?}");
        let call = scene.calls().pop().unwrap();
        assert_eq!(call[..4], ["exec", "--namespace", "ops", "memtrace-x"], "the one that runs");
        // What is sent is a command line of this very program.
        let line = std::iter::once("memtrace".to_owned()).chain(scene.remote());
        Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }
}

#[test]
fn the_exit_code_of_the_node_is_passed_on() {
    let scene = Scene::new(Some(POD), Some(TRACERS));
    fs::write(scene.path().join("code"), "3").unwrap();
    assert_eq!(scene.ask(&["why", "cart-0"]).unwrap(), 3);
}

#[test]
fn kubectl_gets_the_access_that_was_given() {
    let scene = Scene::new(Some(POD), Some(TRACERS));
    let access = ["--context", "west", "--as", "eve", "--kubeconfig", "/k", "--memtrace-namespace", "ops"];
    scene.ask(&[&["doctor", "pod/cart-0"], &access[..]].concat()).unwrap();
    let calls = scene.calls();
    assert_eq!(calls.len(), 3);
    for call in &calls {
        assert_eq!(call[1..7], ["--kubeconfig", "/k", "--context", "west", "--as", "eve"]);
    }
    assert!(calls[0].contains(&"cart-0".to_owned()));
    assert!(calls[1].windows(2).any(|pair| pair == ["--namespace", "ops"]), "{:?}", calls[1]);
    assert!(calls[1].contains(&"spec.nodeName=node-7".to_owned()));
}

#[test]
fn a_deleted_pod_is_asked_about_where_it_ran() {
    let scene = Scene::new(None, Some(TRACERS));
    scene.ask(&["why", "cart-0", "-n", "shop", "--node", "node-7"]).unwrap();
    assert_eq!(scene.remote(), ["report", "--last", "--namespace", "shop", "--pod", "cart-0"]);
    assert_eq!(scene.calls().len(), 2, "the pod is not looked up");
}

#[test]
fn what_fails_is_said_with_the_servers_words() {
    let (code, why) = said(Scene::new(None, Some(TRACERS)).ask(&["why", "cart-0"]));
    assert_eq!(code, 1);
    assert!(why.contains("failed to find pod cart-0") && why.contains("NotFound"), "{why}");
    assert!(why.contains("--node"), "what to do about a deleted one: {why}");

    let (code, why) = said(Scene::new(Some(POD), None).ask(&["why", "cart-0"]));
    assert_eq!(code, 4);
    assert!(why.contains(r#"cannot list resource "pods""#) && why.contains("--memtrace-namespace"), "{why}");

    let (code, why) = said(Scene::new(Some(POD), Some(r#"{"items":[]}"#)).ask(&["why", "cart-0"]));
    assert_eq!(code, 3);
    assert!(why.contains("there is no memtrace pod on node node-7"), "{why}");

    let pending = TRACERS.replace("Running", "Pending");
    let (code, why) = said(Scene::new(Some(POD), Some(&pending)).ask(&["why", "cart-0"]));
    assert_eq!(code, 3);
    assert!(why.contains("ops/memtrace-old, is not running: its phase is \"Failed\""), "{why}");

    let unscheduled = POD.replace(r#""nodeName":"node-7""#, "");
    let (code, why) = said(Scene::new(Some(&unscheduled), Some(TRACERS)).ask(&["why", "cart-0"]));
    assert_eq!(code, 1);
    assert!(why.contains("runs on no node yet"), "{why}");

    let (code, why) = said(Scene::new(Some("garbage"), Some(TRACERS)).ask(&["why", "cart-0"]));
    assert_eq!(code, 1);
    assert!(why.contains("kubectl's answer"), "{why}");

    let nowhere =
        Plugin::try_parse_from(["kubectl-memtrace", "why", "cart-0", "--kubectl", "/nowhere"]).unwrap();
    let (code, why) = said(ask(&nowhere, Form::default()));
    assert_eq!(code, 1);
    assert!(why.contains("failed to run /nowhere"), "{why}");
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let scene = Scene::new(Some(POD), Some(TRACERS));
    fs::write(scene.path().join("kubectl"), "#!/bin/sh\nyes '{'\n").unwrap();
    assert_eq!(said(scene.ask(&["why", "cart-0"])).0, 1);
}

#[test]
fn a_pod_or_a_node_is_wanted() {
    for words in [&["top"][..], &["why"], &["why", "--", "-o", "json"], &["why", ""], &["why", "--bad"]] {
        let words = [&["kubectl-memtrace"], words].concat();
        assert_eq!(Plugin::try_parse_from(&words).unwrap_err().exit_code(), 2, "{words:?}");
    }
    Plugin::command().debug_assert();
}

#[test]
fn the_program_is_a_plugin_by_its_name_alone() {
    for (program, is) in [
        ("kubectl-memtrace", true),
        ("/usr/local/bin/kubectl-memtrace", true),
        ("memtrace", false),
        ("/usr/bin/kubectl-memtrace/memtrace", false),
    ] {
        assert_eq!(is_called_as_plugin(Some(program.as_ref())), is, "{program}");
    }
    assert!(!is_called_as_plugin(None));
}

proptest! {
    /// Whatever is accepted as a name is no option, no path and no other kind of object.
    #[test]
    fn names_of_pods_are_names(text in "\\PC{0,20}|-[a-z]{1,5}|(pod/)?[a-z0-9.-]{0,10}") {
        if let Ok(name) = pod_name(&text) {
            prop_assert!(!name.is_empty() && !name.starts_with('-') && !name.contains('/'));
            prop_assert!(name.is_ascii() && !name.contains(char::is_whitespace));
        }
    }
}
