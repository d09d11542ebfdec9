//! Names from Docker or podman, by Docker's API (HTTP over a unix socket).
//!
//! Input: the socket. Output: the [`Name`]s of all containers. One request, bounded in time and size.

use std::{collections::HashMap, path::Path, time::Duration};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::UnixStream, time::timeout};

use super::{name::Name, names::text};

/// The source's name.
pub const SOURCE: &str = "docker";
/// Where they listen, below the host's root, and who.
pub const SOCKETS: [(&str, &str); 2] = [("run/docker.sock", "docker"), ("run/podman/podman.sock", "podman")];
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 5000 });
/// Bytes that it may have.
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

/// All containers, by id.
///
/// # Errors
/// In words, when there is no answer.
pub async fn names(socket: &Path, runtime: &str) -> Result<Vec<(String, Name)>, String> {
    match timeout(PATIENCE, ask(socket)).await {
        Ok(Ok(json)) => parse(&json, runtime).map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err(format!("no answer in {PATIENCE:?}")),
    }
}

async fn ask(socket: &Path) -> anyhow::Result<Bytes> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await?;
    // Its error shows in the answer as well.
    tokio::spawn(connection);
    let request = Request::get("/containers/json?all=true").header("host", "docker").body(Empty::new())?;
    let answer = sender.send_request(request).await?;
    anyhow::ensure!(answer.status() == StatusCode::OK, "it answered {}", answer.status());
    let body = Limited::new(answer.into_body(), LARGEST).collect().await;
    Ok(body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes())
}

fn parse(json: &[u8], runtime: &str) -> serde_json::Result<Vec<(String, Name)>> {
    let containers: Vec<Container> = serde_json::from_slice(json)?;
    let named = |container: Container| {
        let Container { id, names, image, labels } = container;
        let labels = labels.unwrap_or_default();
        let label = |key: &str| text(labels.get(key)?.as_bytes());
        let own =
            names.iter().flatten().next().and_then(|name| text(name.trim_start_matches('/').as_bytes()));
        let id = text(id.as_bytes())?;
        let name = Name {
            // cri-dockerd's.
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixListener,
    };

    use super::{names, parse};

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

    /// A socket that answers with some bytes, or never.
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
        assert_eq!(names(&socket, "docker").await.unwrap_err(), "no answer in 200ms");
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
