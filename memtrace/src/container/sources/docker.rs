//! Names from Docker or podman, through Docker's API (HTTP over a unix socket).
//!
//! Input: the socket. Output: the [`Name`]s of all containers, and how one ended. Requests are bounded in time and size.

use std::{collections::HashMap, path::Path, time::Duration};

use hyper::body::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    container::{end::End, name::Name, names::text},
    http::{self, Connection},
};

/// The source's name.
pub const SOURCE: &str = "docker";
/// Sockets below the host's root, with the name of the runtime.
pub const SOCKETS: [(&str, &str); 2] = [("run/docker.sock", "docker"), ("run/podman/podman.sock", "podman")];
/// Timeout of a request.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 2000 } else { 5000 });
/// The largest response in bytes.
const LARGEST: usize = 16 << 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    labels: Option<HashMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    state: State,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    #[serde(default, rename = "OOMKilled")]
    oom_killed: bool,
    exit_code: i32,
    #[serde(default)]
    finished_at: Option<String>,
}

/// All containers, by id.
///
/// # Errors
/// When the request fails.
pub async fn names(socket: &Path, runtime: &str) -> Result<Vec<(String, Name)>, String> {
    let json = in_time(socket, "/containers/json?all=true").await?;
    parse(&json, runtime).map_err(|error| error.to_string())
}

/// How a container ended; `None` while it has not.
///
/// # Errors
/// When the request fails, or the runtime does not know the container.
pub async fn ended(socket: &Path, id: &str) -> Result<Option<End>, String> {
    // The id becomes part of a path, so it must not lead elsewhere.
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err("not a container id".to_owned());
    }
    let json = in_time(socket, &format!("/containers/{id}/json")).await?;
    end(&json).map_err(|error| error.to_string())
}

async fn in_time(socket: &Path, path: &str) -> Result<Bytes, String> {
    let answer = async {
        let answer = Connection::unix(socket).await?.get("docker", path, None).await?;
        http::body_of_ok(answer, LARGEST).await
    };
    http::in_time(PATIENCE, answer).await.map_err(|error| format!("{error:#}"))
}

pub(crate) fn parse(json: &[u8], runtime: &str) -> serde_json::Result<Vec<(String, Name)>> {
    let containers: Vec<Container> = serde_json::from_slice(json)?;
    let named = |container: Container| {
        let Container { id, names, image, labels } = container;
        let labels = labels.unwrap_or_default();
        let label = |key: &str| text(labels.get(key)?.as_bytes());
        let own =
            names.iter().flatten().next().and_then(|name| text(name.trim_start_matches('/').as_bytes()));
        let id = text(id.as_bytes())?;
        let name = Name {
            // Labels set by cri-dockerd.
            namespace: label("io.kubernetes.pod.namespace"),
            pod: label("io.kubernetes.pod.name"),
            pod_uid: label("io.kubernetes.pod.uid"),
            container: label("io.kubernetes.container.name").or(own),
            container_id: Some(id.clone()),
            image: image.and_then(|image| text(image.as_bytes())),
            runtime: Some(runtime.to_owned()),
            source: Some(SOURCE.to_owned()),
            ..Name::default()
        };
        Some((id, name))
    };
    Ok(containers.into_iter().filter_map(named).collect())
}

pub(crate) fn end(json: &[u8]) -> serde_json::Result<Option<End>> {
    let State { status, oom_killed, exit_code, finished_at } =
        serde_json::from_slice::<Inspected>(json)?.state;
    // Docker only has the flag; the other reasons are those that cri-dockerd reports for the same exit codes.
    let reason = match (oom_killed, exit_code) {
        (true, _) => "OOMKilled",
        (false, 0) => "Completed",
        (false, _) => "Error",
    };
    // `0001-01-01T00:00:00Z` means no time.
    let finished_at = finished_at.and_then(|time| time.parse::<Timestamp>().ok());
    Ok(matches!(status.as_str(), "exited" | "dead").then(|| End {
        reason: Some(reason.to_owned()),
        exit_code,
        finished_at: finished_at.filter(|time| time.as_second() > 0),
    }))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixListener,
    };

    use super::{end, ended, names, parse};

    #[test]
    fn names_images_and_labels() {
        let json = br#"[{"Id":"abc","Names":["/web"],"Image":"nginx:1","Labels":{}},
            {"Id":"def","Names":["/k8s_x"],"Labels":{"io.kubernetes.pod.name":"p",
             "io.kubernetes.pod.namespace":"n","io.kubernetes.container.name":"c"}},
            {"Id":"ghi","Names":null,"Labels":null}]"#;
        let found = parse(json, "docker").unwrap();
        let labels: Vec<_> = found.iter().map(|(_, name)| name.label().unwrap()).collect();
        assert_eq!(labels, ["web", "n/p/c", "ghi"]);
        assert_eq!(found[0].1.image.as_deref(), Some("nginx:1"));
        assert!(parse(b"{}", "docker").is_err());
    }

    #[test]
    fn an_end_has_reason_code_and_time() {
        let state = |status: &str, oom: bool, code: i32, finished: &str| {
            let json = format!(
                r#"{{"Id":"a","State":{{"Status":"{status}","Running":false,"OOMKilled":{oom},"Dead":false,
                "Pid":0,"ExitCode":{code},"Error":"","FinishedAt":"{finished}"}}}}"#
            );
            end(json.as_bytes()).unwrap()
        };
        let killed = state("exited", true, 137, "2026-05-28T20:26:40.165Z").unwrap();
        assert_eq!((killed.reason.as_deref(), killed.exit_code), (Some("OOMKilled"), 137));
        assert_eq!(killed.finished_at.unwrap().as_second(), 1_780_000_000);
        assert_eq!(state("exited", false, 1, "").unwrap().reason.as_deref(), Some("Error"));
        assert_eq!(state("running", false, 0, "0001-01-01T00:00:00Z"), None);
        assert!(end(b"{}").is_err() && end(b"[").is_err());
    }

    /// A socket that sends these bytes, or never answers.
    fn serve(answer: Option<&'static [u8]>) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                if let Some(answer) = answer {
                    let _ = stream.read(&mut [0; 1024]).await;
                    let _ = stream.write_all(answer).await;
                } else {
                    held.push(stream);
                }
            }
        });
        (dir, socket)
    }

    #[tokio::test]
    async fn a_daemon_that_hangs_is_left() {
        let (_dir, socket) = serve(None);
        assert_eq!(names(&socket, "docker").await.unwrap_err(), "no answer in 2s");
        assert_eq!(ended(&socket, "abc").await.unwrap_err(), "no answer in 2s");
        assert!(ended(&socket, "../abc").await.unwrap_err().contains("not a container id"));
    }

    #[tokio::test]
    async fn garbage_and_absence_are_errors() {
        let (_dir, socket) = serve(Some(b"\x00\xff\r\n\r\n"));
        assert!(names(&socket, "docker").await.is_err());
        let (_dir, socket) = serve(Some(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[7]"));
        assert!(names(&socket, "docker").await.is_err());
        let (dir, _) = serve(None);
        assert!(names(&dir.path().join("absent"), "docker").await.is_err());
        let (_dir, socket) = serve(Some(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"));
        assert_eq!(names(&socket, "docker").await, Ok(Vec::new()));
    }
}
